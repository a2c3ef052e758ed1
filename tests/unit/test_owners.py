"""Stream ids that belong to one owner."""

from __future__ import annotations

import string
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream import (
    NOT_FOUND,
    CancelResult,
    InvalidSettingError,
    InvalidStreamIdError,
    StreamOwners,
    StreamState,
    StreamStatus,
    owned_stream_id,
)
from support.virtual_time import in_virtual_time
from support.world import Source, world

KEY = b"0123456789abcdef"
NAMES = st.text(min_size=1)


@given(NAMES, NAMES, NAMES, NAMES)
def test_one_id_for_each_owner_and_name(owner: str, name: str, owner2: str, name2: str) -> None:
    one = owned_stream_id(owner, name, key=KEY)
    other = owned_stream_id(owner2, name2, key=KEY)
    assert (one == other) == ((owner, name) == (owner2, name2))
    assert set(one) <= set(string.hexdigits)


def test_no_owner_reaches_into_anothers_names() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("1:a", "b"), ("a:b", "c"), ("a", "b:c"), ("11:a", "x")]
    assert len({owned_stream_id(*pair, key=KEY) for pair in pairs}) == len(pairs)


def test_ids_depend_on_the_key_and_stay_as_they_are() -> None:
    assert owned_stream_id("ann", "chat-1", key=KEY) != owned_stream_id(
        "ann", "chat-1", key=KEY[::-1]
    )
    assert owned_stream_id("ann", "chat-1", key=KEY) == (
        "fcb1e0310e37a7d0aa60dc136aef33b6d56f56bccb6c6ae92991e61f91f6ca10"
    )


@pytest.mark.parametrize("pair", [("", "n"), ("o", ""), (None, "n"), (7, "n"), ("o", b"n")])
def test_what_is_no_owner_or_name_is_refused(pair: Any) -> None:
    with pytest.raises(InvalidStreamIdError):
        owned_stream_id(*pair, key=KEY)


@pytest.mark.parametrize("key", [b"", b"short", b"0123456789abcde"])
def test_short_key_is_refused_at_once(key: bytes) -> None:
    with pytest.raises(InvalidSettingError, match=f"has {len(key)} bytes: pass at least 16"):
        StreamOwners(key)
    with pytest.raises(InvalidSettingError, match="at least 16"):
        owned_stream_id("o", "n", key=key)


@pytest.mark.parametrize("key", [KEY.decode(), None, 17, bytearray(KEY)])
def test_key_that_is_not_bytes_is_refused_at_once(key: Any) -> None:
    with pytest.raises(InvalidSettingError, match=rf"{type(key).__name__}, not bytes.*encode\(\)"):
        StreamOwners(key)
    with pytest.raises(InvalidSettingError, match="not bytes"):
        owned_stream_id("o", "n", key=key)


@pytest.mark.parametrize("key", [b"s3cret", "s3cret-s3cret-s3cret"])
def test_no_message_shows_the_key(key: Any) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        StreamOwners(key)
    assert "s3cret" not in str(refused.value)
    assert "0123" not in repr(StreamOwners(KEY))


@given(NAMES, NAMES)
def test_object_and_function_give_the_same_ids(owner: str, name: str) -> None:
    assert StreamOwners(KEY).stream_id(owner, name) == owned_stream_id(owner, name, key=KEY)


def test_owners_never_change() -> None:
    with pytest.raises(FrozenInstanceError):
        StreamOwners(KEY).key = KEY[::-1]  # type: ignore[misc] # it is the point
    assert StreamOwners(KEY) == StreamOwners(KEY)


@in_virtual_time
async def test_a_stranger_finds_nothing() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source()
        mine, theirs, unused = [
            owned_stream_id(*pair, key=KEY)
            for pair in (("ann", "chat"), ("bob", "chat"), ("ann", "other"))
        ]
        await context.create_new_resumable_stream(mine, source)
        for stranger in (theirs, unused, "chat"):
            assert await context.resume_existing_stream(stranger) is NOT_FOUND
            assert await context.stream_status(stranger) == StreamStatus(StreamState.NOT_FOUND)
            assert await context.cancel_stream(stranger) is CancelResult.NOT_FOUND
        assert (await context.stream_status(mine)).state is StreamState.ACTIVE
        assert await context.cancel_stream(mine) is CancelResult.CANCELLED
