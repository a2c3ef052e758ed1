"""What one stream has to send: answers to its listeners, live text and the end, batch by batch.

It is one more cursor into the log. It holds no text of its own, so a broker that is slow or away
leaves no backlog: what was missed is pulled by the listeners afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._producing.followers import MAX_LISTENERS, Followers
from resumable_stream._producing.live import Live
from resumable_stream._producing.pieces import piece_size
from resumable_stream._producing.replies import Replies
from resumable_stream._producing.v1_followers import V1Followers
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.wire import (
    DataFrame,
    EndFrame,
    Frame,
    Refusal,
    RefusalFrame,
    Request,
    RequestType,
    decode_request,
    encode_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._shared import Shared
    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

# How much live text a stream adds to a batch; what there is more comes with the next ones.
_MOST_LIVE = 256 * 1024

Batch = list[tuple[str, bytes]]


class Outgoing:
    """The remote listeners of one stream: what they ask, and what is due to them.

    Args:
        on_news: called when there may be something to send.
        on_cancel: called when a listener cancels the stream.
        on_erase: called when the text is to be forgotten, once the end is recorded.
    """

    __slots__ = (
        "_cancellers",
        "_claim",
        "_followers",
        "_left_out",
        "_live",
        "_live_id",
        "_notices",
        "_on_cancel",
        "_on_erase",
        "_on_news",
        "_replies",
        "_shared",
        "_v1",
        "log",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        log: Log,
        shared: Shared,
        audience: V1Audience,
        *,
        on_news: Callable[[], None],
        on_cancel: Callable[[], object],
        on_erase: Callable[[], object],
    ) -> None:
        options = shared.options
        self.stream_id = stream_id
        self.log = log
        self._claim = claim
        self._shared = shared
        self._on_news = on_news
        self._on_cancel = on_cancel
        self._on_erase = on_erase
        self._live_id = live_id(stream_id, claim.generation)
        self._live = Live(claim.generation, log, options.heartbeat_interval)
        self._followers = Followers(stream_id, options)
        self._replies = Replies(claim.generation, log, options.unit)
        self._left_out = False  # the batch had no room for all live text
        self._notices: dict[str, Frame] = {}
        self._cancellers: dict[str, None] = {}
        self._v1 = V1Followers(stream_id, log, shared, audience, on_news)

    def handle(self, message: bytes) -> None:
        """Take in a message of the request channel."""
        request = decode_request(message)
        if request is None:
            logger.debug("stream %r: ignored a malformed request", self.stream_id)
        elif request.version == 1:
            # It names no generation: only a producer that certainly holds the claim may answer.
            if self._may_answer():
                self._v1.enrol(request.listener_id, request.skip)
        elif request.type is RequestType.LEAVE:
            self._followers.remove(request.listener_id)
            self._replies.drop(request.listener_id)
        elif request.type is RequestType.ERASE:
            if self._live.end is not None and request.generation == self._claim.generation:
                self._on_erase()
        elif self._may_answer():
            if request.type is RequestType.CANCEL:
                self._cancellers[request.listener_id] = None
                self._on_cancel()
            else:
                self._enrol(request)
        self._on_news()

    def resync(self) -> None:
        """Keep every listener enrolled, and tell them how far the stream is: there was a gap."""
        self._followers.keep_all()
        self._v1.doubt()
        self._live.hurry()
        self._on_news()

    def announce(self, end: EndFrame) -> None:
        """Tell listeners the end from now on: it is recorded."""
        self._live.announce(end)
        self._v1.end()
        self._on_news()

    def linger(self) -> None:
        """Give listeners their time to read the rest, from now on."""
        self._followers.progress()

    def expire(self, now: float) -> None:
        """Drop the listeners that were silent for too long."""
        if now >= self._followers.look_at:
            self._followers.expire(now, ended=self._live.end is not None)

    async def aclose(self) -> None:
        """Look for nobody any more. Idempotent."""
        await self._v1.aclose()

    def is_needed(self) -> bool:
        """Tell whether somebody listens, or is owed something."""
        return bool(
            self._followers
            or self._replies
            or self._notices
            or (self._live.end and self._cancellers)
            or self._v1
        )

    def heartbeat_due_in(self) -> float:
        """Return in how many seconds to look for something to send, if there is no news before."""
        if self._followers and self._may_answer():
            return self._live.heartbeat_at - asyncio.get_running_loop().time()
        return self._shared.options.heartbeat_interval

    def has_more(self) -> bool:
        """Tell, after ``take_news``, whether there is something left to send now."""
        left = self._replies or self._v1 or self._left_out
        return (
            bool(left)
            and self._may_answer()
            and bool(self._replies or self._left_out or self._v1.has_news())
        )

    @property
    def owes_answers(self) -> bool:
        return bool(self._replies) and self._may_answer()

    def take_news(self, batch: Batch, now: float) -> int:
        """Add what is new for all: live text, and the end or a heartbeat if due; return its size.

        ``sent`` or ``failed`` tells what became of it, and of the answers.

        Args:
            batch: what goes to the broker next.
            now: the event loop's time.
        """
        if not self._may_answer():
            self._v1.doubt()
            return 0
        size = 0
        for listener, notice in self._notices.items():
            size += self._add(batch, listener, notice)
        self._notices.clear()
        size += self._take_live(batch, now)
        if self._v1:
            messages = self._v1.take(self._shared.backend.max_message_size)
            size += sum(len(message) for _, message in messages)
            batch += messages
        if self._live.end is not None:
            for listener in self._cancellers:
                size += self._add(batch, listener, self._live.end)
            self._cancellers.clear()
        return size

    def answer_newcomers(self, batch: Batch) -> int:
        """Add a first piece for each listener that has had nothing yet; return their number."""
        newcomers = self._replies.newcomers()
        for listener in newcomers:
            self._answer(batch, listener)
        return len(newcomers)

    def answer_next(self, batch: Batch) -> int:
        """Add a piece for the listener that has waited longest; return its size."""
        return self._answer(batch, self._replies.longest_waiting())

    def sent(self) -> None:
        """Note that what was taken has been sent."""
        self._v1.sent()

    def failed(self, *, unsent: bool) -> None:
        """Note that what was taken was not sent, or that nobody knows.

        Listeners ask again for what they miss; only TypeScript ones cannot.
        """
        self._live.fail()
        self._v1.failed(unsent=unsent)

    def dismissal(self, end: EndFrame) -> tuple[str, bytes] | None:
        """Return what tells those who follow that they are served no more; None if nobody does."""
        if not self._followers:
            return None
        return self._shared.names.chunk(self._live_id), encode_frame(self._live_id, end)

    def _may_answer(self) -> bool:
        return self._claim.held or self._live.end is not None

    def _enrol(self, request: Request) -> None:
        listener = request.listener_id
        if request.generation not in (None, self._claim.generation):
            self._refuse(listener, RefusalFrame(self._claim.generation, Refusal.OTHER_GENERATION))
            return
        if (refusal := self._contradiction(request)) is not None:
            self._refuse(listener, refusal)
            return
        reply = self._replies.answer(request, first=listener not in self._followers)
        if not self._followers:
            self._live.begin(asyncio.get_running_loop().time())
        # A listener that is refused leaves by itself, or misses the refusal and asks again.
        enrolled = self._followers.enrol(listener, request.place)
        if isinstance(reply, RefusalFrame):
            self._refuse(listener, reply)
        elif enrolled and (request.window or self._live.end is not None):
            # A window of nothing only keeps the listener enrolled.
            self._replies.owe(listener, reply)

    def _contradiction(self, request: Request) -> RefusalFrame | None:
        """Refuse a place in an earlier run's text that is none in this run's."""
        if request.origin is None or request.place is None:
            return None
        end = self._claim.lineage.end_of(request.origin)
        if end is None:
            return RefusalFrame(self._claim.generation, Refusal.NOT_CONTINUED)
        if request.place.sequence > end:
            return RefusalFrame(self._claim.generation, Refusal.OTHER_HISTORY, end)
        return None

    def _refuse(self, listener: str, refusal: RefusalFrame) -> None:
        if len(self._notices) < MAX_LISTENERS:
            self._notices[listener] = refusal

    def _take_live(self, batch: Batch, now: float) -> int:
        live, size = self._live, 0
        self._left_out = False
        if not self._followers:
            live.skip_end()
            return 0
        room = piece_size(self._live_id, self._shared.backend.max_message_size)
        while size < _MOST_LIVE and (text := live.next_text(now, room)) is not None:
            size += self._add(batch, self._live_id, text)
        self._left_out = size >= _MOST_LIVE and live.has_text()
        if (sign := live.next_sign(now)) is not None:
            size += self._add(batch, self._live_id, sign)
        return size

    def _answer(self, batch: Batch, listener: str) -> int:
        room = piece_size(listener, self._shared.backend.max_message_size)
        frame = self._replies.next_piece(listener, room)
        size = self._add(batch, listener, frame)
        if self._live.end is not None and isinstance(frame, DataFrame) and frame.last:
            size += self._add(batch, listener, self._live.end)
        return size

    def _add(self, batch: Batch, listener: str, frame: Frame) -> int:
        message = encode_frame(listener, frame)
        batch.append((self._shared.names.chunk(listener), message))
        return len(message)
