"""A cluster that has no node for the bucket yet, or never will have one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nats
import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_nats import NatsBackend
from support.nats_servers import NatsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.msg import Msg

GONE = {"code": 404, "err_code": 10059, "description": "stream not found"}
NO_MESSAGE = {"code": 404, "err_code": 10037, "description": "no message found"}
OFFLINE = "no suitable peers for placement, peer offline"
FULL = "no suitable peers for placement, insufficient storage"


class Api:
    """JetStream's API on a server that has none: it refuses to create a stream so many times."""

    def __init__(self, reason: str, times: int) -> None:
        self._refusal = {"code": 400, "err_code": 10005, "description": reason}
        self._times = times
        self._stream: dict[str, Any] | None = None
        self.asked_to_create = 0

    async def answer(self, msg: Msg) -> None:
        request = msg.subject.removeprefix("$JS.API.STREAM.")
        if request.startswith("CREATE"):
            self.asked_to_create += 1
            if self.asked_to_create > self._times:
                self._stream = json.loads(msg.data)
            answer = self._config(self._refusal)
        else:
            answer = self._config(GONE)
        if request.startswith("MSG.GET"):
            answer = {"error": NO_MESSAGE}
        await msg.respond(json.dumps(answer).encode())

    def _config(self, otherwise: dict[str, Any]) -> dict[str, Any]:
        return {"error": otherwise} if self._stream is None else {"config": self._stream}


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer(jetstream=False) as server:
        yield server


@pytest.mark.parametrize(
    ("reason", "times", "asked"), [(OFFLINE, 2, 3), (FULL, 99, 1)], ids=["passing", "lasting"]
)
async def test_bucket_waits_for_nodes_that_are_away(
    reason: str, times: int, asked: int, server: NatsServer
) -> None:
    api = Api(reason, times)
    client = await nats.connect(server.address)
    await client.subscribe("$JS.API.>", cb=api.answer)
    await client.flush()
    backend = NatsBackend(server.url, timeout=20)
    if times < asked:
        assert await backend.get("k") is None
    else:
        with pytest.raises(BackendUnavailableError, match="insufficient storage"):
            await backend.get("k")
    assert api.asked_to_create == asked
    await backend.aclose()
    await client.close()


async def test_nodes_that_stay_away_are_told(server: NatsServer) -> None:
    client = await nats.connect(server.address)
    await client.subscribe("$JS.API.>", cb=Api(OFFLINE, 999).answer)
    await client.flush()
    backend = NatsBackend(server.url, timeout=1)
    with pytest.raises(BackendUnavailableError, match="peer offline"):
        await backend.get("k")
    await backend.aclose()
    await client.close()
