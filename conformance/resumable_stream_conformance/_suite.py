"""The base of every test of the suite: opening, naming, time-outs, rules, skipping."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import pytest

from resumable_stream_conformance._capabilities import (
    Capabilities,
    base_capabilities,
    optional_capabilities,
)

if TYPE_CHECKING:
    from resumable_stream.ports import Backend

CLOSING_TIMEOUT = 15.0


class Closable(Protocol):
    """What has to be closed when a test ends."""

    async def aclose(self) -> None: ...


Opened = TypeVar("Opened", bound=Closable)


class LawBase:
    """What one test works with; pytest creates a new one for each test."""

    __test__: ClassVar[bool] = False

    capabilities: ClassVar[Capabilities] = Capabilities()
    """What the backend declares; see :class:`Capabilities`."""

    url: ClassVar[str | None] = None
    """The backend's URL, or ``module:factory``: tests of optional capabilities start another
    process, which opens the backend by it."""

    _stack: AsyncExitStack

    def keep(self, opened: Opened) -> Opened:
        """Close it when the test ends."""
        self._stack.push_async_callback(_close, opened)
        return opened

    @functools.cached_property
    def namespace(self) -> str:
        """The start of every name of this test, and of no other name on the broker."""
        return f"rs-conformance.{uuid.uuid4().hex}"

    def name(self, part: object) -> str:
        """Return the name of a key, channel or log that only this test uses."""
        return f"{self.namespace}.{part}"

    def skip_unless(self, needed: str | None) -> None:
        if needed is not None and not getattr(self.capabilities, needed):
            kind = "base" if needed in base_capabilities() else "optional"
            pytest.skip(f"the backend declares that it lacks the {kind} capability {needed!r}")


class SuiteBase(LawBase):
    """What a test of a backend works with."""

    def open(self) -> Backend | Awaitable[Backend]:
        """Open a backend with a connection of its own; the suite closes it.

        A test calls this several times, to get backends on the same broker.
        """
        raise NotImplementedError("say how to open the backend: def open(self): return ...")

    async def connect(self) -> Backend:
        """Open one more backend; it is closed when the test ends."""
        opened = self.open()
        return self.keep(await opened if isinstance(opened, Awaitable) else opened)

    async def connect_all(self, count: int) -> list[Backend]:
        return [await self.connect() for _ in range(count)]


Suite = TypeVar("Suite", bound=LawBase)
Test = Callable[[Suite], Awaitable[None]]


def rule(
    *ids: str, needs: str | None = None, within: float = 30.0
) -> Callable[[Test[Suite]], Test[Suite]]:
    """Make an async method a test of the named rules or promises.

    Args:
        *ids: rules of ``conformance/PROTOCOL.md`` such as "KV-2", or promises such as "P5".
        needs: the capability without which the test is skipped.
        within: seconds after which a test that has not ended has failed.
    """
    if needs is not None and needs not in (*base_capabilities(), *optional_capabilities()):
        raise ValueError(f"{needs!r} is no capability")

    def mark(test: Test[Suite]) -> Test[Suite]:
        @functools.wraps(test)
        async def run(self: Suite) -> None:
            __tracebackhide__ = True
            self.skip_unless(needs)
            async with AsyncExitStack() as self._stack:
                limit = asyncio.timeout(within)
                try:
                    async with limit:
                        await test(self)
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    raise AssertionError(f"has not ended within {within:g} s") from error

        run.__dict__["rules"] = ids
        # The loop's scope is named, so that a setting of the author's project cannot change it.
        return pytest.mark.asyncio(loop_scope="function")(run)

    return mark


def rules_of(test: Any) -> tuple[str, ...]:
    """Return the rules that a test names."""
    return tuple(getattr(test, "rules", ()))


async def _close(opened: Closable) -> None:
    try:
        async with asyncio.timeout(CLOSING_TIMEOUT):
            await opened.aclose()
    except TimeoutError as error:
        raise AssertionError(f"aclose() has not ended within {CLOSING_TIMEOUT:g} s") from error
