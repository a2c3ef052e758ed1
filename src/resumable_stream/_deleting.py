"""Deleting a stream that is over: its text, its outcome, and that there was one."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from resumable_stream._finding import Here
from resumable_stream._protocol.sentinel import DONE, Outcome, Running
from resumable_stream._protocol.whereabouts import Left, Over, Unknown
from resumable_stream._protocol.wire import Request, RequestType
from resumable_stream._status import DeleteResult
from resumable_stream.errors import BackendUnavailableError

if TYPE_CHECKING:
    from resumable_stream._instance import Instance
    from resumable_stream._producing.producer import Producer
    from resumable_stream._shared import Shared
    from resumable_stream.ports import KeyValue

# The least time to live. A key is let run out, because only then no other value can be hit.
_TTL = 1
_LOOK_EVERY = 0.1
_PATIENCE = 5.0


async def delete(instance: Instance, stream_id: str) -> DeleteResult:
    """Erase a stream that is over, wherever it was produced, and free its id.

    Raises:
        BackendError: not all is erased, or that is not known; try again, which is safe.
    """
    where = await instance.finding.look_up(stream_id)
    if isinstance(where, Here) and where.producer.log.ending is not None:
        await _let_go(instance, where.producer)
        # Where the broker has lost its keys, they may be those of a later run by now.
        where = await instance.finding.look_up(stream_id)
        if isinstance(where, Unknown):
            return DeleteResult.DELETED
    match where:
        case Unknown():
            return DeleteResult.NOT_FOUND
        case Over() as over:
            generation, lineage = over.generation, over.lineage
        case Left(run):
            generation, lineage = run.generation, run.lineage
        case _:
            return DeleteResult.STILL_ACTIVE
    instance.let_go(stream_id, generation)
    for earlier, _ in lineage.runs:
        await _erase_text(instance.shared, stream_id, earlier)
    await _erase(instance.shared, stream_id, generation)
    return DeleteResult.DELETED


async def _let_go(instance: Instance, producer: Producer) -> None:
    """Erase the text of a producer here that is over, and forget it."""
    shared, stream_id = instance.shared, producer.stream_id
    await asyncio.wait({producer.settled}, timeout=shared.options.cancel_timeout)
    if not producer.settled.done():
        raise BackendUnavailableError(
            f"the end of stream {stream_id!r} is not recorded yet; try again"
        )
    instance.let_go(stream_id, producer.generation)
    for generation in (producer.generation, *(run for run, _ in producer.lineage.runs)):
        await _erase_text(shared, stream_id, generation)


async def _erase_text(shared: Shared, stream_id: str, generation: int | None) -> None:
    if shared.journal is not None and generation is not None:
        await shared.journal.delete(shared.names.journal(stream_id, generation))


async def _erase(shared: Shared, stream_id: str, generation: int | None) -> None:
    """Erase the run's log, let its keys run out, and ask its producer to forget the text.

    The producer may still serve the text elsewhere. It is asked again and again, since it may not
    hear all that is said meanwhile.
    """
    store, names, clock = shared.backend, shared.names, asyncio.get_running_loop().time
    await _erase_text(shared, stream_id, generation)
    sentinel, key = names.sentinel(stream_id), names.outcome(stream_id)
    forgetting = Request(secrets.token_hex(16), type=RequestType.ERASE, generation=generation)
    expiring: set[tuple[str, str]] = set()
    deadline = clock() + _PATIENCE
    while clock() <= deadline:
        value, record = await store.get(sentinel), await store.get(key)
        if _is_of_another(record, generation) or (record is None and value != DONE):
            return
        if generation is not None:
            await shared.ask(stream_id, forgetting)
        kept = Outcome.decode(record)
        if record is not None and kept is not None and kept.kept_until:
            # Without its sentinel, an outcome that leads to text would hold the id.
            unkept = kept._replace(kept_until=0).encode()
            await store.compare_and_set(key, record, unkept, ttl=shared.options.outcome_ttl)
            continue
        # The sentinel goes first: without its outcome, it would say that the stream has completed.
        entry = (key, record) if record is not None and value != DONE else (sentinel, DONE)
        if entry not in expiring and await _expire(store, *entry):
            expiring.add(entry)
            if entry[0] == sentinel and _is_of_another(await store.get(key), generation):
                # This run's DONE was gone, and it is a later one's: it stays for its time.
                await store.compare_and_set(sentinel, DONE, DONE, ttl=shared.options.end_ttl)
                return
        await asyncio.sleep(_LOOK_EVERY)
    raise BackendUnavailableError(f"the keys of stream {stream_id!r} do not expire; try again")


async def _expire(store: KeyValue, name: str, value: str) -> bool:
    return await store.compare_and_set(name, value, value, ttl=_TTL)


def _is_of_another(record: str | None, generation: int | None) -> bool:
    """Tell whether a record beside a sentinel is that of another run.

    Each run's record is there before its ``DONE``, so it tells whose that is.
    """
    there = Outcome.decode(record) or Running.decode(record)
    return there is not None and there.generation != generation
