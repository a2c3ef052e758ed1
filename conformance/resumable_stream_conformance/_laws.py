"""The suite as one class."""

from __future__ import annotations

import pytest

_LAWS = (
    *("_kv_laws", "_ttl_laws", "_renewal_laws", "_pubsub_laws", "_subscription_laws"),
    *("_count_laws", "_lifecycle_laws", "_protocol_laws", "_ending_laws", "_producer_laws"),
    *("_economy_laws", "_fault_laws", "_grace_laws", "_stage"),
)
# Before the imports, so that a failure shows the values and not a bare AssertionError.
pytest.register_assert_rewrite(*(f"{__package__}.{module}" for module in _LAWS))

from resumable_stream_conformance._count_laws import CountLaws  # noqa: E402
from resumable_stream_conformance._economy_laws import EconomyLaws  # noqa: E402
from resumable_stream_conformance._ending_laws import EndingLaws  # noqa: E402
from resumable_stream_conformance._fault_laws import FaultLaws  # noqa: E402
from resumable_stream_conformance._grace_laws import GraceLaws  # noqa: E402
from resumable_stream_conformance._kv_laws import KeyValueLaws  # noqa: E402
from resumable_stream_conformance._lifecycle_laws import LifecycleLaws  # noqa: E402
from resumable_stream_conformance._producer_laws import ProducerLaws  # noqa: E402
from resumable_stream_conformance._protocol_laws import ExactLaws  # noqa: E402
from resumable_stream_conformance._pubsub_laws import PubSubLaws  # noqa: E402
from resumable_stream_conformance._renewal_laws import RenewalLaws  # noqa: E402
from resumable_stream_conformance._subscription_laws import SubscriptionLaws  # noqa: E402
from resumable_stream_conformance._ttl_laws import TimeToLiveLaws  # noqa: E402


class BackendSuite(
    KeyValueLaws,
    TimeToLiveLaws,
    RenewalLaws,
    PubSubLaws,
    SubscriptionLaws,
    CountLaws,
    LifecycleLaws,
    ExactLaws,
    EndingLaws,
    GraceLaws,
    ProducerLaws,
    EconomyLaws,
    FaultLaws,
):
    """Every test a backend has to pass.

    Subclass it in a test module, under a name that pytest collects, and override :meth:`open`.
    Declare what the backend cannot do in ``capabilities``; no test can be overridden.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.__test__ = True
        for name in dir(BackendSuite):
            if name.startswith("test_") and getattr(cls, name) is not getattr(BackendSuite, name):
                raise TypeError(
                    f"{cls.__qualname__}.{name} overrides a test of the conformance suite; "
                    "declare the missing capability instead, or deselect the test where you run it"
                )
