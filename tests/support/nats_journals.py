"""The stream of a journal on NATS, and records to fill it with."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from support.nats_servers import BUCKET

if TYPE_CHECKING:
    from nats.aio.client import Client

    from resumable_stream.journal import Journal
    from support.nats_servers import NatsServer

JOURNAL = f"JOURNAL_{BUCKET}"
LOG = "resumable-stream:rs:journal:7:x"


def create_journal(server: NatsServer, **settings: Any) -> None:
    """Create the journal's stream as an operator might, with other settings."""
    config = {
        "name": JOURNAL,
        "subjects": [f"$KV.{JOURNAL}.>"],
        "allow_msg_ttl": True,
        "discard": "new",
    } | settings

    async def create(client: Client) -> None:
        # Older versions of nats-py do not know all settings.
        question = json.dumps(config).encode()
        answer = await client.request(f"$JS.API.STREAM.CREATE.{config['name']}", question)
        assert "error" not in json.loads(answer.data), answer.data

    server.ask(create)


async def fill(journal: Journal, log: str, records: int, *, start: int = 0, ttl: int = 60) -> None:
    """Append records that hold their numbers."""
    for index in range(start, start + records):
        assert await journal.append(log, index, b"%d" % index, ttl=ttl)


async def requests(server: NatsServer) -> int:
    """The number of messages that clients have published, once it stays as it is."""
    seen = -1
    while (now := int(server.look("varz")["in_msgs"])) != seen:
        seen = now
        await asyncio.sleep(0.2)
    return seen
