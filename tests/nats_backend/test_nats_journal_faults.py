"""A journal on NATS while connections, servers and leaders fail."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.errors import BackendError, BackendUnavailableError, OutcomeUnknownError
from resumable_stream_nats import NatsJournal
from resumable_stream_nats._journal_room import Room
from support.fault_proxy import FaultProxy
from support.nats_journals import JOURNAL, LOG
from support.nats_servers import NatsCluster, NatsServer, reached
from support.servers import ServerError, eventually
from support.virtual_time import in_virtual_time, loop_time

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resumable_stream.journal import Journal


async def all_of(journal: Journal, log: str) -> list[bytes]:
    """Read the whole log."""
    found: list[bytes] = []
    while records := await journal.read(log, len(found), max_bytes=100_000):
        found += records
    return found


async def insist(journal: Journal, index: int, record: bytes) -> None:
    """Append as the core does: after an unknown outcome read what is there."""
    deadline = time.monotonic() + 40
    while True:
        try:
            if await journal.append(LOG, index, record, ttl=60):
                return
        except OutcomeUnknownError:
            pass
        except BackendUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
            continue
        try:
            found = await journal.read(LOG, index, max_bytes=1)
        except BackendUnavailableError:
            continue
        if found:
            assert found == [record]
            return


async def test_record_whose_answer_was_lost_is_there(nats_server: NatsServer) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        journal = NatsJournal(nats_server.url_at(proxy.port), timeout=1)
        other = NatsJournal(nats_server.url)
        assert await journal.append(LOG, 0, b"0", ttl=60)
        proxy.to_client.black_hole = True
        with pytest.raises(OutcomeUnknownError):
            await journal.append(LOG, 1, b"1", ttl=60)
        assert await other.read(LOG, 0, max_bytes=9) == [b"0", b"1"]
        proxy.to_client.black_hole = False
        proxy.cut()

        async def reads_it() -> bool:
            try:
                return await journal.read(LOG, 1, max_bytes=9) == [b"1"]
            except BackendUnavailableError:
                return False

        await reached(reads_it, "the record to be read")
        assert not await journal.append(LOG, 1, b"1", ttl=60)
        assert await journal.append(LOG, 2, b"2", ttl=60)
        await journal.aclose()
        await other.aclose()


async def test_deletion_whose_answer_was_lost_is_not_repeated(nats_server: NatsServer) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        journal = NatsJournal(nats_server.url_at(proxy.port), timeout=1)
        other = NatsJournal(nats_server.url)
        assert await journal.append(LOG, 0, b"0", ttl=60)
        proxy.to_client.black_hole = True
        deleting = asyncio.create_task(journal.delete(LOG))

        async def is_deleted() -> bool:
            return await other.read(LOG, 0, max_bytes=9) == []

        await reached(is_deleted, "the log to be deleted")
        assert await other.append(LOG, 0, b"again", ttl=60)
        with pytest.raises(OutcomeUnknownError):
            await deleting
        assert await other.read(LOG, 0, max_bytes=9) == [b"again"]
        await journal.aclose()
        await other.aclose()


async def test_frozen_server_leaves_appends_open_and_reads_unknown(
    nats_server: NatsServer,
) -> None:
    journal = NatsJournal(nats_server.url, timeout=1)
    assert await journal.append(LOG, 0, b"0", ttl=60)
    nats_server.freeze()
    outcomes = await asyncio.gather(
        journal.append(LOG, 1, b"1", ttl=60),
        journal.read(LOG, 0, max_bytes=9),
        journal.delete("another"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        OutcomeUnknownError,
        BackendUnavailableError,
        OutcomeUnknownError,
    ]
    nats_server.thaw()
    await insist(journal, 1, b"1")
    assert await all_of(journal, LOG) == [b"0", b"1"]
    await journal.aclose()


async def test_connections_cut_while_appending_lose_and_double_nothing(
    nats_server: NatsServer,
) -> None:
    records = [b"%d" % index * 2000 for index in range(60)]
    async with FaultProxy(nats_server.port) as proxy:
        journal = NatsJournal(nats_server.url_at(proxy.port), timeout=2)
        for index, record in enumerate(records):
            if index % 5 == 2:
                proxy.to_server.cut_after = 1000 * (index % 7)
            elif index % 5 == 4:
                proxy.to_client.cut_after = 10 * (index % 7)
            accepted = proxy.accepted
            appending = asyncio.create_task(insist(journal, index, record))
            await eventually(
                lambda: appending.done() or proxy.accepted > accepted,  # noqa: B023 - awaited here
                "the record to be written or the connection to be cut",
            )
            proxy.to_server.cut_after = proxy.to_client.cut_after = None
            await appending
        other = NatsJournal(nats_server.url)
        assert await all_of(other, LOG) == records
        await other.aclose()
        await journal.aclose()


async def test_cancelled_calls_leave_nothing(nats_server: NatsServer) -> None:
    journal = NatsJournal(nats_server.url)
    assert await journal.append(LOG, 0, b"0", ttl=60)
    nats_server.freeze()
    record = bytes(journal.max_record_size)
    coroutines: list[Coroutine[Any, Any, object]] = [
        *(journal.append(f"{LOG}{number}", 0, record, ttl=60) for number in range(30)),
        *(journal.read(LOG, 0, max_bytes=9) for _ in range(30)),
        journal.delete(LOG),
    ]
    calls = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    parts = journal._bound.parts
    assert parts is not None
    assert parts.logs._writing._taken == parts.logs._reading._taken == 0
    nats_server.thaw()
    assert await journal.append("new", 0, b"0", ttl=60)
    await journal.aclose()
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the tasks to go")


async def test_races_across_nodes_have_one_winner() -> None:
    with NatsCluster() as cluster:
        nodes = [NatsJournal(cluster.url_from(number)) for number in range(3)]
        assert [await node.read(LOG, 0, max_bytes=1) for node in nodes] == [[]] * 3
        for index in range(50):
            records = [b"%d of %d" % (index, number) for number in range(3)]
            written = await asyncio.gather(
                *(
                    node.append(LOG, index, record, ttl=60)
                    for node, record in zip(nodes, records, strict=True)
                )
            )
            assert written.count(True) == 1
            winner = records[written.index(True)]
            # Through each node the record is seen at once.
            for node in nodes:
                assert await node.read(LOG, index, max_bytes=99) == [winner]
        for node in nodes:
            await node.aclose()


async def test_leader_may_die_while_text_is_kept() -> None:
    with NatsCluster() as cluster:
        journal = NatsJournal(cluster.url, timeout=4)
        records = [b"%d" % index for index in range(60)]
        await insist(journal, 0, records[0])
        for index in range(1, 30):
            await insist(journal, index, records[index])
        leader = cluster.leader(JOURNAL)
        leader.kill()
        for index in range(30, 60):
            await insist(journal, index, records[index])
        assert await all_of(journal, LOG) == records
        await journal.aclose()


@pytest.mark.parametrize("times", range(3))
async def test_leader_may_step_down_while_text_is_kept(times: int) -> None:
    with NatsCluster() as cluster:
        journal = NatsJournal(cluster.url_from(times), timeout=4)
        records = [b"%d" % index for index in range(200)]
        for index, record in enumerate(records):
            if index % 50 == 20:
                step_down(cluster)
            await insist(journal, index, record)
        assert await all_of(journal, LOG) == records
        await journal.aclose()


def step_down(cluster: NatsCluster) -> None:
    subject = f"$JS.API.STREAM.LEADER.STEPDOWN.{JOURNAL}"
    try:
        leader = cluster.leader(JOURNAL)
    except ServerError:
        return
    leader.ask(lambda client: client.request(subject, b"", timeout=10))


async def test_closed_journal_ends_calls_under_way(nats_server: NatsServer) -> None:
    journal = NatsJournal(nats_server.url)
    assert await journal.append(LOG, 0, b"0", ttl=60)
    nats_server.freeze()
    call = asyncio.create_task(journal.append(LOG, 1, b"1", ttl=60))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(BackendError):
        await call
    assert time.monotonic() - began < 4
    nats_server.thaw()


@in_virtual_time
async def test_room_is_given_in_order_and_back() -> None:
    room = Room()
    await room.take(3_000_000, loop_time() + 5)
    came: list[int] = []

    async def come(size: int, until: float = 60.0) -> None:
        await room.take(size, loop_time() + until)
        came.append(size)

    waiting = [asyncio.create_task(come(size)) for size in (2_000_000, 1_000, 3_000_000)]
    await asyncio.sleep(0.1)
    assert came == []  # the small one waits its turn
    cancelled = asyncio.create_task(come(7))
    late = asyncio.create_task(come(8, until=1.0))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(BackendUnavailableError, match="not answered in time"):
        await late
    room.give(3_000_000)
    await asyncio.sleep(0.1)
    assert came == [2_000_000, 1_000]
    waiting[2].cancel()
    last = asyncio.create_task(come(6_000_000))
    await asyncio.sleep(0.1)
    room.give(2_000_000)
    room.give(1_000)
    await last  # one that is larger than all room comes alone
    room.give(6_000_000)
    assert room._taken == 0
    assert not room._waiting


@in_virtual_time
async def test_room_that_comes_with_the_cancellation_is_given_back() -> None:
    room = Room()
    await room.take(4_000_000, loop_time() + 5)
    call = asyncio.create_task(room.take(4_000_000, loop_time() + 5))
    await asyncio.sleep(0.1)
    room.give(4_000_000)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert room._taken == 0
