"""``demo --web`` as a program: how it starts, whom it answers, what is left when it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import uuid

import pytest

from programs import PATIENCE, run
from resumable_stream._console import ExitStatus
from servers import free_port
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
        "from resumable_stream._cli import main; sys.exit(main(['demo', '--web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, b"")
    assert done.stderr.count(b"\n") == 1
    assert f"needs {library}" in done.stderr.decode()
    assert "pip install 'resumable-stream[web]'" in done.stderr.decode()
