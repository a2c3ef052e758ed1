"""TLS, certificates, credentials and logins: which are accepted, and what error the others get."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import (
    BackendUnavailableError,
    MessageTooLargeError,
)
from resumable_stream_nats import NatsBackend
from support.calls import use
from support.certificates import NatsOperator, self_signed
from support.inbox import Inbox
from support.nats_servers import NatsServer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("way", ["files", "context"])
async def test_tls_serves_and_verifies(name: str, tmp_path: Path, way: str) -> None:
    certificate, key = self_signed(tmp_path)
    with NatsServer(f'tls: {{cert_file: "{certificate}", key_file: "{key}"}}') as server:
        url = server.url.replace("nats://127.0.0.1", "tls://localhost")
        if way == "files":
            backend = NatsBackend(f"{url}&tls_ca={certificate}")
        else:
            backend = NatsBackend(url, tls=ssl.create_default_context(cafile=certificate))
        await use(backend, name)
        assert server.connections()[0]["tls_version"].startswith("1.")
        await backend.aclose()
        stranger = NatsBackend(url)
        for call in (stranger.get(name), Inbox().subscribe(stranger, name)):
            began = time.monotonic()
            with pytest.raises(BackendUnavailableError, match="certificate"):
                await call
            assert time.monotonic() - began < 3
        await stranger.aclose()


async def test_client_certificate_is_shown(name: str, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = f'cert_file: "{certificate}", key_file: "{key}", ca_file: "{certificate}"'
    with NatsServer(f"tls: {{{files}, verify: true}}") as server:
        url = f"tls://localhost:{server.port}?storage=memory&tls_ca={certificate}"
        backend = NatsBackend(f"{url}&tls_cert={certificate}&tls_key={key}")
        await use(backend, name)
        await backend.aclose()
        stranger = NatsBackend(url, timeout=2)
        with pytest.raises(BackendUnavailableError):
            await stranger.get(name)
        await stranger.aclose()


async def test_tls_url_sends_no_secret_in_the_clear(name: str) -> None:
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    pretender = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = pretender.sockets[0].getsockname()[1]
    backend = NatsBackend(f"tls://user:secret@127.0.0.1:{port}", timeout=2)
    with pytest.raises(BackendUnavailableError, match="TLS"):
        await backend.get(name)
    await backend.aclose()
    pretender.close()
    assert b"secret" not in heard


async def test_credentials_file_opens_the_door(name: str, tmp_path: Path) -> None:
    operator = NatsOperator()
    credentials = operator.credentials(tmp_path)
    with NatsServer(operator.config) as server:
        for backend in (
            NatsBackend(server.url, credentials=credentials),
            NatsBackend(f"{server.url}&credentials={credentials}"),
        ):
            await use(backend, name)
            await backend.aclose()
        for stranger in (
            NatsBackend(server.url),
            NatsBackend(server.url, credentials=NatsOperator().credentials(tmp_path)),
            NatsBackend(server.url, credentials=tmp_path / "missing.creds"),
        ):
            with pytest.raises(BackendUnavailableError, match=r"credentials|missing\.creds"):
                await stranger.get(name)
            await stranger.aclose()


async def test_accounts_own_payload_limit_is_kept(name: str, tmp_path: Path) -> None:
    operator = NatsOperator()
    with NatsServer(operator.config) as server:
        credentials = operator.credentials(tmp_path, payload=20_000)
        backend, inbox = NatsBackend(server.url, credentials=credentials), Inbox()
        await inbox.subscribe(backend, name)
        assert backend.max_message_size == 20_000
        with pytest.raises(MessageTooLargeError):
            await backend.publish(name, b"x" * 20_001)
        await backend.publish(name, b"x" * 20_000)
        await inbox.received(b"x" * 20_000)
        assert inbox.losses == []
        await backend.aclose()


@pytest.mark.parametrize("login", ["user:p%40ss@", "t%2Fken@"])
async def test_login_in_the_url_opens_the_door(name: str, login: str) -> None:
    config = {
        "user:p%40ss@": 'authorization: {user: user, password: "p@ss"}',
        "t%2Fken@": 'authorization: {token: "t/ken"}',
    }[login]
    # The test has no login of its own, so it uses only the monitoring port.
    with NatsServer(config) as server:
        backend = NatsBackend(server.url.replace("//", f"//{login}"))
        await use(backend, name)
        await backend.aclose()
