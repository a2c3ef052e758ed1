"""Answers of OpenAI's Responses API in background mode, as events that are sent from any place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Before its first word an answer has been begun, and announced.
BEGUN = -1
ANNOUNCED = 0


class Sent(NamedTuple):
    """An event, and how many words must have been allowed before it is sent."""

    event: dict[str, Any]
    needs: int


class BackgroundAnswer:
    """One answer, which the model gives once, whoever reads it and how often.

    Attributes:
        id: the response's id.
        events: all of them, by their sequence numbers.
        reads: after which sequence number each client began; None for the one who created it.
        cancelled: whether a client has cancelled it.
    """

    def __init__(self, number: int, question: str, words: Sequence[str], *, fails: bool) -> None:
        self.id = f"resp_{number}"
        self.question = question
        self.reads: list[int | None] = []
        self.cancelled = False
        ending = "failed" if fails else "completed"
        self.events = [
            Sent(event | {"sequence_number": place}, needs)
            for place, (event, needs) in enumerate(self._events(words, ending))
        ]

    def after(self, place: int | None) -> list[Sent]:
        """Return what a client is sent who has had everything up to a sequence number."""
        self.reads.append(place)
        return self.events if place is None else self.events[place + 1 :]

    def described(self, status: str) -> dict[str, Any]:
        error = {"code": "server_error", "message": "out of tokens"} if status == "failed" else None
        return {"id": self.id, "object": "response", "status": status, "error": error}

    def _events(self, words: Sequence[str], ending: str) -> Iterator[tuple[dict[str, Any], int]]:
        """Give the events in order, each with the number of words that are needed before."""
        text = {"item_id": f"msg_{self.id}", "output_index": 0, "content_index": 0}
        item = {"id": text["item_id"], "type": "message", "role": "assistant", "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        yield {"type": "response.created", "response": self.described("queued")}, ANNOUNCED
        yield {"type": "response.in_progress", "response": self.described("in_progress")}, ANNOUNCED
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}, ANNOUNCED
        yield {"type": "response.content_part.added", **text, "part": part}, ANNOUNCED
        for number, word in enumerate(words, 1):
            yield {"type": "response.output_text.delta", **text, "delta": word}, number
        if ending == "completed":
            whole = "".join(words)
            yield {"type": "response.output_text.done", **text, "text": whole}, len(words)
        yield {"type": f"response.{ending}", "response": self.described(ending)}, len(words)
