"""Who may use the demo: the page itself, and no other site that is open in the same browser."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A whole "Host": an address in brackets, or a name, and a port. It may contain no user name, no
# path, and nothing else that a parser of URLs would split off.
_HOST: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::[0-9]{0,5})?"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests of other sites.

    Another site may send requests itself, and their ``Origin`` reveals it. Or it may point its own
    name at this machine, to be taken for the page, and the ``Host`` reveals it.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self._app if self._admits(Headers(scope=scope)) else Response(status_code=403)
        await app(scope, receive, send_with_headers)

    def _admits(self, headers: Headers) -> bool:
        hosts = headers.getlist("Host")
        if len(hosts) != 1 or not self._is_here(hosts[0]):
            return False
        own = {f"http://{hosts[0]}", f"https://{hosts[0]}"}
        return own.issuperset(headers.getlist("Origin"))

    def _is_here(self, host: str) -> bool:
        """Whether the host is a name of this machine, or an address, which no site can own."""
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        if parts["six"] is not None:
            return _is_address(parts["six"], IPv6Address)
        return parts["name"].lower() in self._names or _is_address(parts["name"], IPv4Address)


def _is_address(text: str, kind: type[IPv4Address | IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
