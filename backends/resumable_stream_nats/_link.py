"""How a backend comes by a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from resumable_stream_nats._line import Line


class Link(Protocol):
    longest_delay: float
    """Seconds between two attempts to get through, at most."""

    @property
    def over(self) -> bool:
        """No connection will ever come any more."""
        ...

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        ...

    @property
    def max_message_size(self) -> int | None:
        """What the server takes that was connected last; None if none has been yet."""
        ...

    async def reach(self, until: float) -> Line:
        """Return the present connection, by the loop's time ``until``.

        Raises:
            BackendUnavailableError: there is none.
            BackendFaultError: nor will there be, until somebody mends a program.
        """
        ...

    async def aclose(self) -> None: ...
