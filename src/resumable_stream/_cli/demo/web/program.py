"""``demo --web``: serves the page until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Final

from resumable_stream import create_resumable_stream_context
from resumable_stream._cli.console import ExitStatus
from resumable_stream._cli.demo.story import load
from resumable_stream._cli.demo.web.answers import OPTIONS
from resumable_stream._cli.demo.web.instances import OwnProcess, SharedProcess
from resumable_stream._cli.demo.web.server import serving
from resumable_stream._cli.demo.web.site import Site
from resumable_stream._registry import without_secrets
from resumable_stream.errors import InvalidSettingError

if TYPE_CHECKING:
    from typing import TextIO

_PORT: Final = 8000
_ANSWER: Final = "_cli/demo/web/answer.txt"


async def web_demo(
    path: str | None, url: str, host: str, port: int | None, output: TextIO
) -> ExitStatus:
    """Serve the page for the file's text, with instances on the broker, until it is cancelled."""
    material = load(path, _ANSWER)
    await _check_broker(url)
    kind = SharedProcess if url.startswith("memory:") else OwnProcess
    instances = [kind(name, url, material.text) for name in "ABC"]
    with _listener(host, port) as listener:
        try:
            await asyncio.gather(*(instance.start() for instance in instances))
            site = Site(
                instances,
                title=material.name,
                text=material.text,
                broker=without_secrets(url),
                host=host,
            )
            async with serving(site.app, listener):
                shown = f"[{host}]" if ":" in host else host
                output.write(f"open http://{shown}:{listener.getsockname()[1]}/ in a browser; ")
                output.write("Ctrl-C ends it\n")
                output.flush()
                try:
                    await asyncio.Event().wait()
                finally:
                    site.balancer.cut_all()
        finally:
            await asyncio.gather(*(instance.aclose() for instance in instances))
    return ExitStatus.COMPLETED


async def _check_broker(url: str) -> None:
    """Fail now, and not in the page, if the backend is unknown or cannot be reached."""
    async with create_resumable_stream_context(url, options=OPTIONS) as context:
        await context.stream_status("web-demo")


def _listener(host: str, port: int | None) -> socket.socket:
    """Listen on the port; without one, on the default port or else any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, _PORT if port is None else port), family=family)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return _listener(host, 0)
        # Python appends the address to some of these messages.
        reason = (error.strerror or str(error)).partition(" (")[0]
        where = f"{host!r}" if port is None else f"{host!r}, port {port}"
        raise InvalidSettingError(
            f"cannot listen on {where}: {reason}; choose others with --host and --port"
        ) from error
