"""The suites, each as one class."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, ClassVar, TypeVar

import pytest

_LAWS = (
    *("_kv_laws", "_ttl_laws", "_renewal_laws", "_pubsub_laws", "_subscription_laws"),
    *("_count_laws", "_lifecycle_laws", "_protocol_laws", "_ending_laws", "_producer_laws"),
    *("_economy_laws", "_fault_laws", "_grace_laws", "_stage"),
    *("_journal_laws", "_journal_read_laws", "_journal_name_laws", "_journal_life_laws"),
    *("_journal_time_laws", "_journal_backend_laws", "_journal_stage", "_replay_laws"),
    "_death_laws",
)
# Before the imports, so that a failure shows the values and not a bare AssertionError.
pytest.register_assert_rewrite(*(f"{__package__}.{module}" for module in _LAWS))

from resumable_stream.journal import Journal, OpenedJournal  # noqa: E402
from resumable_stream_conformance._capabilities import Capabilities  # noqa: E402
from resumable_stream_conformance._count_laws import CountLaws  # noqa: E402
from resumable_stream_conformance._death_laws import DeathLaws  # noqa: E402
from resumable_stream_conformance._economy_laws import EconomyLaws  # noqa: E402
from resumable_stream_conformance._ending_laws import EndingLaws  # noqa: E402
from resumable_stream_conformance._fault_laws import FaultLaws  # noqa: E402
from resumable_stream_conformance._grace_laws import GraceLaws  # noqa: E402
from resumable_stream_conformance._journal_backend_laws import (  # noqa: E402
    JournalBackendLaws,
    kept_by,
)
from resumable_stream_conformance._journal_laws import JournalLaws  # noqa: E402
from resumable_stream_conformance._journal_life_laws import JournalLifeLaws  # noqa: E402
from resumable_stream_conformance._journal_name_laws import JournalNameLaws  # noqa: E402
from resumable_stream_conformance._journal_read_laws import JournalReadLaws  # noqa: E402
from resumable_stream_conformance._journal_stage import JournalOpening  # noqa: E402
from resumable_stream_conformance._journal_time_laws import JournalTimeLaws  # noqa: E402
from resumable_stream_conformance._kv_laws import KeyValueLaws  # noqa: E402
from resumable_stream_conformance._lifecycle_laws import LifecycleLaws  # noqa: E402
from resumable_stream_conformance._producer_laws import ProducerLaws  # noqa: E402
from resumable_stream_conformance._protocol_laws import ExactLaws  # noqa: E402
from resumable_stream_conformance._pubsub_laws import PubSubLaws  # noqa: E402
from resumable_stream_conformance._renewal_laws import RenewalLaws  # noqa: E402
from resumable_stream_conformance._replay_laws import ReplayLaws  # noqa: E402
from resumable_stream_conformance._subscription_laws import SubscriptionLaws  # noqa: E402
from resumable_stream_conformance._ttl_laws import TimeToLiveLaws  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

Opened = TypeVar("Opened")


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
    ReplayLaws,
    DeathLaws,
    JournalBackendLaws,
    JournalLaws,
    JournalReadLaws,
    JournalNameLaws,
    JournalLifeLaws,
    JournalTimeLaws,
):
    """Every test a backend has to pass.

    Subclass it in a test module, under a name that pytest collects, and override :meth:`open`.
    Declare what the backend cannot do in ``capabilities``; no test can be overridden.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.__test__ = True
        _refuse_overrides(cls, BackendSuite)

    async def open_store(self, *, without_loop: bool = False) -> JournalOpening:
        backend = self.keep(await _call(self.open, without_loop=without_loop))
        return JournalOpening(kept_by(backend), backend.aclose)


class JournalSuite(JournalLaws, JournalReadLaws, JournalNameLaws, JournalLifeLaws, JournalTimeLaws):
    """Every test that a journal by itself has to pass.

    Subclass it in a test module, under a name that pytest collects, and override :meth:`open`. No
    test can be overridden.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(journal=True)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.__test__ = True
        _refuse_overrides(cls, JournalSuite)

    def open(self) -> Journal | Awaitable[Journal]:
        """Open the journal with a connection of its own; the suite closes it, if it can be closed.

        A test calls this several times, to get journals on the same store.
        """
        raise NotImplementedError("say how to open the journal: def open(self): return ...")

    def skip_unless(self, needed: str | None) -> None:
        """Skip nothing: a journal is what this suite is for."""

    async def open_store(self, *, without_loop: bool = False) -> JournalOpening:
        journal = await _call(self.open, without_loop=without_loop)
        if isinstance(journal, OpenedJournal):
            return JournalOpening(journal, self.keep(journal).aclose)
        return JournalOpening(journal, None)


def _refuse_overrides(cls: type, suite: type) -> None:
    for name in dir(suite):
        if name.startswith("test_") and getattr(cls, name) is not getattr(suite, name):
            raise TypeError(
                f"{cls.__qualname__}.{name} overrides a test of the conformance suite; "
                "declare the missing capability instead, or deselect the test where you run it"
            )


async def _call(opener: Callable[[], Opened | Awaitable[Opened]], *, without_loop: bool) -> Opened:
    # A new thread has no loop, like the import of a module.
    opened = await asyncio.to_thread(opener) if without_loop else opener()
    return await opened if isinstance(opened, Awaitable) else opened
