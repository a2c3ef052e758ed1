"""No stream id under any prefix shares a key or channel name with another."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from resumable_stream import InvalidSettingError
from resumable_stream._protocol.names import Names, live_id
from resumable_stream._protocol.wire import decode_request

# Pieces of the names themselves: texts made of them would collide under careless rules.
PIECES = st.sampled_from(["", "a", ":", "rs", ":rs:", "sentinel:", "chunk:", "request", "7:", "é"])
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join).filter(bool)


def names_of(prefix: str, stream_id: str, generation: int) -> list[str]:
    names = Names.under(prefix)
    return [
        names.sentinel(stream_id),
        names.outcome(stream_id),
        names.request(stream_id),
        names.chunk(live_id(stream_id, generation)),
    ]


@given(TEXTS, TEXTS, st.integers(1, 99), TEXTS, TEXTS, st.integers(1, 99))
def test_names_are_injective(
    prefix: str, stream_id: str, generation: int, prefix_2: str, stream_2: str, generation_2: int
) -> None:
    try:
        one = names_of(prefix, stream_id, generation)
        other = names_of(prefix_2, stream_2, generation_2)
    except InvalidSettingError:
        assume(False)
        raise
    assert len(set(one)) == len(one)
    if (prefix, stream_id) != (prefix_2, stream_2):
        assert not set(one) & set(other)
    elif generation != generation_2:
        assert one[:3] == other[:3]
        assert one[3] != other[3]


@given(TEXTS, st.integers(1, 99), TEXTS)
def test_no_request_can_have_itself_answered_on_a_live_channel(
    stream_id: str, generation: int, listener_id: str
) -> None:
    request = b'{"listenerId": "%s"}' % listener_id.encode()
    taken = decode_request(request)
    assert taken is None or taken.listener_id != live_id(stream_id, generation)
