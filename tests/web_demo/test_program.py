"""``demo --web`` as a program: how it starts, which requests it accepts, what it leaves behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

import pytest

from resumable_stream._cli.console import ExitStatus
from support.programs import PATIENCE, run
from support.servers import free_port
from web.client import get, http_client
from web_demo.demo import Demo, ended

ANSWER, READER = uuid.uuid4(), uuid.uuid4()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
async def test_no_process_outlives_the_demo(
    number: signal.Signals, status: int, redis_url: str
) -> None:
    async with Demo(redis_url) as demo:
        children = demo.children()
        assert len(children) == 3
        async with get(f"{demo.url}read/{uuid.uuid4()}/{uuid.uuid4()}") as answer:
            await answer.events(3)
            assert await demo.end(number) == (status, b"")
        await ended(children)


@pytest.mark.asyncio(loop_scope="session")
async def test_hostile_event_id_is_refused(memory_demo: Demo) -> None:
    for hostile in ("x", "1-", "9" * 400, "%00", "../../etc", "1-1;"):
        async with get(f"{memory_demo.url}read/{ANSWER}/{READER}", hostile) as answer:
            assert answer.status == 400, hostile


@pytest.mark.asyncio(loop_scope="session")
async def test_only_the_page_itself_is_served(memory_demo: Demo) -> None:
    demo = memory_demo
    async with http_client() as client:
        assert (await client.get(demo.url)).headers["Content-Security-Policy"]
        for headers in ({"Host": "evil.example"}, {"Host": "["}, {"Origin": "http://evil.example"}):
            assert (await client.post(f"{demo.url}start", headers=headers)).status_code == 403
        own = {"Origin": demo.url.rstrip("/")}
        assert (await client.post(f"{demo.url}start", headers=own)).status_code == 204
        for path in ("read/x/y", f"read/{ANSWER}/y", "page.html", "../answer.txt", "pace/none"):
            assert (await client.get(demo.url + path)).status_code in (404, 405)
        for path in ("pace/none", f"readers/{uuid.uuid4()}/cut"):
            assert (await client.post(demo.url + path)).status_code == 404


@pytest.mark.asyncio(loop_scope="session")
async def test_host_is_taken_apart_before_it_is_believed(memory_demo: Demo) -> None:
    port = urlsplit(memory_demo.url).port
    for host in (
        *("localhost", "LOCALHOST", "127.0.0.1", "192.0.2.1", "[::1]", "[2001:db8::1]"),
        "[::ffff:127.0.0.1]",
    ):
        for suffix in ("", ":", ":80", f":{port}"):
            assert await status_for(memory_demo, f"Host: {host}{suffix}") == 204, host + suffix
    for host in (
        *("evil.example", "evil-localhost", "evil.localhost", "localhost.evil.example"),
        *("127.0.0.1.evil.example", "evil-127.0.0.1", "127.0.0.1.", "localhost.:80"),
        *("evil.example@localhost", "evil.example:80@127.0.0.1", "evil.example@[::1]"),
        *("@localhost", "localhost.", "127.1", "0x7f000001", "0177.0.0.1"),
        *("localhost@evil.example", "localhost/evil.example", "localhost?evil", "localhost#evil"),
        *("localhost\\evil.example", "localhost:evil.example", "localhost:80:evil", "localhost:-1"),
        *("[::1]evil.example", "evil[::1]", "[evil.example]", "[::1", "::1]", "::1", "[]", "["),
        *("[127.0.0.1]", "[localhost]", "[::1]:80.evil.example"),
        *("http://localhost", "localhost, evil.example", "localhost evil.example", "", ":80"),
        *("l\u043ecalhost", "localhost:\u0668\u0660", "local\thost"),
    ):
        assert await status_for(memory_demo, f"Host: {host}") in (400, 403), host
    assert await status_for(memory_demo) in (400, 403)
    two = ("Host: localhost", "Host: evil.example")
    for lines in (two, reversed(two)):
        assert await status_for(memory_demo, *lines) in (400, 403)


@pytest.mark.asyncio(loop_scope="session")
async def test_origin_is_the_host_and_nothing_more(memory_demo: Demo) -> None:
    for origin in ("http://localhost", "https://localhost"):
        assert await status_for(memory_demo, "Host: localhost", f"Origin: {origin}") == 204
    for origin in (
        *("null", "", "localhost", "http://localhost:81", "http://evil.example@localhost"),
        *("http://localhost/", "http://localhost.evil.example", "http://[", "file://localhost"),
    ):
        told = await status_for(memory_demo, "Host: localhost", f"Origin: {origin}")
        assert told == 403, origin


async def status_for(demo: Demo, *headers: str) -> int:
    """Send a request with these header lines only, as no HTTP client would; return the status."""
    where = urlsplit(demo.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    lines = ("POST /start HTTP/1.0", *headers, "Content-Length: 0", "", "")
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "65536"), "'65536' is no port"),
        (("--port", "x"), "'x' is no port"),
        (("--url", "nowhere://host"), "nowhere"),
        (("--host", "not an address"), "cannot listen on 'not an address'"),
        (("/does/not/exist",), "No such file"),
    ],
)
def test_unusable_argument_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = run("demo", "--web", *arguments)
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, b"")
    assert done.stderr.count(b"\n") == 1
    assert words in done.stderr.decode()


def test_port_needs_the_page() -> None:
    done = run("demo", "--port", "0")
    assert done.returncode == ExitStatus.USAGE
    assert b"--web" in done.stderr


def test_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run("demo", "--web", "--port", port)
    assert done.returncode == ExitStatus.USAGE
    assert f"port {port}" in done.stderr.decode()


def test_absent_broker_is_told_at_once() -> None:
    done = run("demo", "--web", "--url", f"redis://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (ExitStatus.UNAVAILABLE, b"")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("library", ["httpx", "starlette", "uvicorn"])
def test_missing_library_is_answered_with_the_remedy(library: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from resumable_stream._cli.main import main; sys.exit(main(['demo', '--web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, b"")
    assert done.stderr.count(b"\n") == 1
    assert f"needs {library}" in done.stderr.decode()
    assert "pip install 'resumable-stream[web]'" in done.stderr.decode()
