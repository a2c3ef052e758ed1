from __future__ import annotations

from hypothesis import HealthCheck, settings

# An example may take any time: a slow machine must not fail a test.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
