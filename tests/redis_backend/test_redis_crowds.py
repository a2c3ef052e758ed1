"""Messages for many subscribers of a channel: together, in order, and in turns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resumable_stream.adapter_kit import Subscribers
from resumable_stream.errors import BackendUnavailableError
from resumable_stream_redis._crowds import TURN, Crowds
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream.adapter_kit import Channel
    from resumable_stream.ports import Loss
    from resumable_stream_redis import RedisBackend

COUNT = 3 * TURN


class HeldLine:
    """Says only whether it is held."""

    def __init__(self) -> None:
        self.holds = 0

    def hold(self) -> None:
        self.holds += 1

    def go_on(self) -> None:
        self.holds -= 1


def ignored(loss: Loss) -> None:
    raise AssertionError(loss)


async def channel_of(*handlers: Callable[[bytes], None]) -> Channel[bytes]:
    def confirm(channel: Channel[bytes]) -> None:
        asyncio.get_running_loop().call_soon(subscribers.confirm, channel)

    subscribers: Subscribers[bytes] = Subscribers(
        confirm, lambda _: None, timeout=5, unconfirmed=lambda: BackendUnavailableError("late")
    )
    for handler in handlers:
        await subscribers.subscribe(b"name", handler, ignored)
    return subscribers.channels[b"name"]


async def test_what_came_in_one_turn_wakes_each_subscriber_once() -> None:
    line: Any = HeldLine()
    loop, seen = asyncio.get_running_loop(), list[object]()

    def take(owner: int, message: bytes) -> None:
        assert line.holds == 1
        seen.append((owner, message))
        if message == b"0":
            loop.call_soon(seen.append, owner)

    def handler(owner: int) -> Callable[[bytes], None]:
        return lambda message: take(owner, message)

    channel = await channel_of(*map(handler, range(COUNT)))
    crowds = Crowds()
    for number in range(4):
        crowds.add(line, channel, b"%d" % number)
    assert (line.holds, seen) == (0, [])
    await eventually(lambda: len(seen) == COUNT * 5, "all messages")
    assert line.holds == 0
    for at in range(0, COUNT, TURN):
        some, size = range(at, at + TURN), TURN * 5
        turn, seen = seen[:size], seen[size:]
        # Each message goes to all of the turn, which have read when the next ones get theirs.
        assert turn == [*((owner, b"%d" % n) for n in range(4) for owner in some), *some]


async def test_large_messages_go_to_all_subscribers_one_after_the_other() -> None:
    line: Any = HeldLine()
    seen = list[bytes]()
    channel = await channel_of(*[seen.append] * COUNT)
    large, small = [b"%d" % number * 5000 for number in range(2)], [b"a", b"b"]
    crowds = Crowds()
    for message in (*large, *small):
        crowds.add(line, channel, message)
    await eventually(lambda: len(seen) == COUNT * 4, "all messages")
    turns = [message for _ in range(0, COUNT, TURN) for message in small for _ in range(TURN)]
    assert seen == [*large[:1] * COUNT, *large[1:] * COUNT, *turns]


async def test_messages_of_several_channels_share_a_turn() -> None:
    line: Any = HeldLine()
    loop, seen = asyncio.get_running_loop(), list[bytes]()

    def take(message: bytes) -> None:
        seen.append(message)
        if seen == [b"0"]:
            loop.call_soon(seen.append, b"others")

    crowds, channels = Crowds(), [await channel_of(*[take] * (TURN // 2)) for _ in range(3)]
    for number, channel in enumerate(channels):
        crowds.add(line, channel, b"%d" % number)
    await eventually(lambda: len(seen) == 3 * TURN // 2 + 1, "all messages")
    half = TURN // 2
    assert seen == [*[b"0"] * half, *[b"1"] * half, b"others", *[b"2"] * half]
    assert line.holds == 0


async def test_no_message_overtakes_another(backend: RedisBackend, name: str) -> None:
    seen: list[list[bytes]] = [[] for _ in range(COUNT)]
    for messages in seen:
        await backend.subscribe(name, messages.append, ignored)
    # So many that some are handed on while others are delivered.
    sent = [b"%d" % number for number in range(500)]
    await backend.publish_many([(name, message) for message in sent])
    await eventually(lambda: all(len(messages) == len(sent) for messages in seen), "all messages")
    assert all(messages == sent for messages in seen)
