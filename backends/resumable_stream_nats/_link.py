"""How a backend comes by a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from resumable_stream_nats._line import Line


class Link(Protocol):
    longest_delay: float
    """The longest pause between two attempts to connect, in seconds."""

    @property
    def over(self) -> bool:
        """There will be no more connections."""
        ...

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        ...

    @property
    def max_message_size(self) -> int | None:
        """The limit of the server that was connected last; None before the first."""
        ...

    @property
    def present(self) -> Line | None:
        """The present connection; without one, ``reach`` waits for it."""
        ...

    async def reach(self, until: float) -> Line:
        """Return the present connection, by the loop's time ``until``.

        Raises:
            BackendUnavailableError: there is no connection.
            BackendFaultError: there will be none until a mistake in a program is corrected.
        """
        ...

    async def aclose(self) -> None: ...
