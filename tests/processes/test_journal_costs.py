"""What journaled streams cost a broker, by its own statistics; others cost nothing more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from processes.stores import store
from processes.texts import Source
from processes.workers import state_reached
from support.nats_journals import JOURNAL

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from processes.workers import Crew

# Of opening and watching connections, and of the tests.
_UPKEEP = {"auth", "client|setinfo", "config|get", "hello", "info", "ping", "select"}
# Of the server's own, within a script.
_SCRIPTS = {"eval", "evalsha", "script|load"}
SOURCE = Source(count=200, pause=0.01)


async def produced(kept: Any, crew: Crew, stream: str, durability: str | None) -> float:
    """Produce a stream to its end, and return how long that took; nobody resumes it."""
    producing = await kept.worker(crew, durability=durability)
    began = time.monotonic()
    await producing.begin(stream, SOURCE)
    (await producing.read(stream)).check_complete()
    lasted = time.monotonic() - began
    await producing.ask("close", drain_timeout=10.0)
    return lasted


@pytest.mark.rule("P8")
async def test_without_durability_a_redis_journal_is_not_called(
    crew: Crew, stream: str, tmp_path: Path
) -> None:
    async with store("redis", tmp_path) as kept:
        broker: Any = kept.broker
        lasted = await produced(kept, crew, stream, None)
        used = {name: calls for name, calls in broker.commands().items() if name not in _UPKEEP}
        assert sum(used.pop(name, 0) for name in _SCRIPTS) <= lasted / 5 + 4
        assert used.pop("unsubscribe", 0) <= 1
        # The claim, the outcome, DONE, and renewals.
        assert used.keys() == {"set", "get", "subscribe"}
        assert used["set"] <= 3 + lasted / 5 + 1
        late = await kept.worker(crew)
        assert await late.resume(stream, SOURCE) == "completed"
        assert await late.status(stream) == "completed"
        assert not {"xadd", "xrange", "xlen", "del", "expire"} & broker.commands().keys()
        assert broker.footprint().keys == 2


@pytest.mark.rule("P8")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
async def test_a_redis_journal_gets_one_append_for_much_text(
    durability: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    async with store("redis", tmp_path) as kept:
        broker: Any = kept.broker
        lasted = await produced(kept, crew, stream, durability)
        used = broker.commands()
        most = {"exit": 1.0, "async": 1 + lasted, "sync": 2 + lasted / 0.02}[durability]
        assert 1 <= used["xadd"] <= most
        assert used.get("xrange", 0) == 0
        # Beside the claim, the outcome and DONE: the pointer, and renewals.
        assert used["set"] <= 3 + (durability != "exit") + lasted / 5 + 1


@pytest.mark.rule("P8")
async def test_without_durability_a_nats_journal_is_not_called(
    crew: Crew, stream: str, tmp_path: Path
) -> None:
    async with store("nats", tmp_path) as kept:
        broker: Any = kept.broker
        await produced(kept, crew, stream, None)
        late = await kept.worker(crew)
        assert await late.resume(stream, SOURCE) == "completed"
        assert JOURNAL not in streams_of(broker)


@pytest.mark.rule("P8")
@pytest.mark.parametrize("durability", ["exit", "async"])
async def test_a_nats_journal_gets_one_message_for_much_text(
    durability: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    async with store("nats", tmp_path) as kept:
        broker: Any = kept.broker
        lasted = await produced(kept, crew, stream, durability)
        written = streams_of(broker)[JOURNAL]["messages"]
        assert 1 <= written <= (1 if durability == "exit" else 1 + lasted)


@pytest.mark.rule("P8")
async def test_without_durability_no_file_is_made(crew: Crew, stream: str, tmp_path: Path) -> None:
    async with store("redis and sqlite", tmp_path) as kept:
        producing = await kept.worker(crew)
        await producing.begin(stream, Source(count=10))
        (await producing.read(stream)).check_complete()
        await state_reached(producing, stream, "completed")
        await producing.ask("close")
        assert not (tmp_path / "answers.db").exists()


def streams_of(broker: Any) -> dict[str, dict[str, Any]]:
    """Return the state of each of the server's streams."""
    accounts = broker.look("jsz?streams=1&accounts=1").get("account_details", [])
    return {one["name"]: one["state"] for account in accounts for one in account["stream_detail"]}
