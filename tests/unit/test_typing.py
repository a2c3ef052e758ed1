"""What type checkers make of the public names: mypy reads this file, and pytest runs it."""

from __future__ import annotations

import copy
import json
import pickle
from typing import assert_type

from resumable_stream import NOT_FOUND, NotFound, ResumableStream, ResumableStreamContext
from support.virtual_time import in_virtual_time
from support.world import ID, begin, world


async def by_equality(context: ResumableStreamContext) -> ResumableStream:
    stream = await context.resume_existing_stream(ID)
    assert_type(stream, ResumableStream | NotFound | None)
    if stream == NOT_FOUND:
        raise LookupError(ID)
    assert_type(stream, ResumableStream | None)
    assert stream is not None
    return stream


async def by_inequality(context: ResumableStreamContext) -> ResumableStream:
    stream = await context.resume_existing_stream(ID)
    if stream is not None and stream != NOT_FOUND:
        return assert_type(stream, ResumableStream)
    raise LookupError(ID)


async def by_identity(context: ResumableStreamContext) -> ResumableStream:
    stream = await context.resume_existing_stream(ID)
    if stream is NOT_FOUND or stream is None:
        raise LookupError(ID)
    return assert_type(stream, ResumableStream)


async def by_truth(context: ResumableStreamContext) -> ResumableStream:
    stream = await context.resume_existing_stream(ID)
    if not stream:
        raise LookupError(ID)
    return assert_type(stream, ResumableStream)


async def by_class(context: ResumableStreamContext) -> ResumableStream:
    match await context.resume_existing_stream(ID):
        case NotFound() | None:
            raise LookupError(ID)
        case stream:
            return assert_type(stream, ResumableStream)


@in_virtual_time
async def test_every_question_for_a_stream_tells_which_it_is() -> None:
    async with world() as here:
        context, _ = here.instance()
        ways = (by_equality, by_inequality, by_identity, by_truth, by_class)
        for way in ways:
            try:
                await way(context)
            except LookupError:
                continue
            raise AssertionError(way)
        await begin(here, "a")
        for way in ways:
            async with await way(context) as stream:
                assert isinstance(stream, ResumableStream)


def test_not_found_is_a_false_text() -> None:
    assert not NOT_FOUND
    assert isinstance(NOT_FOUND, NotFound)
    assert isinstance(NOT_FOUND, str)
    assert NOT_FOUND == "NOT_FOUND"
    assert hash(NOT_FOUND) == hash("NOT_FOUND")
    assert (repr(NOT_FOUND), str(NOT_FOUND), f"{NOT_FOUND}") == ("NOT_FOUND",) * 3
    assert json.dumps(NOT_FOUND) == '"NOT_FOUND"'
    assert copy.deepcopy(NOT_FOUND) is NOT_FOUND
    assert pickle.loads(pickle.dumps(NOT_FOUND)) is NOT_FOUND  # noqa: S301 - it is our own
