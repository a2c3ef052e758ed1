from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no finding: examples are judged by what they do, not by how long they take.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
