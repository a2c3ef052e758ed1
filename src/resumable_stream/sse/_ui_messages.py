"""The UI message stream of the AI SDK, which ``useChat`` reads."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from resumable_stream.sse._event import encode_event
from resumable_stream.sse._format import EventFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

_DONE = encode_event("[DONE]")


class _UiMessages(EventFormat):
    """Each chunk is one part of a UI message, made an event by ``as_events``.

    ``useChat`` takes a response that merely ends for a complete answer, so every other ending is
    sent as a part.
    """

    headers: ClassVar[Mapping[str, str]] = MappingProxyType({"X-Vercel-AI-UI-Message-Stream": "v1"})

    def chunk(self, chunk: str) -> str:
        return chunk

    def done(self) -> str:
        return _DONE

    def error(self, details: Mapping[str, object]) -> str:
        if details["code"] == "cancelled":
            return encode_event({"type": "abort", "reason": details["message"]}) + _DONE
        return _error(details.get("error_message") or details["message"])

    def interrupted(self) -> str:
        return _error("this stream cannot be read here any longer: resume it")


def _error(text: object) -> str:
    return encode_event({"type": "error", "errorText": text}) + _DONE


UI_MESSAGES = _UiMessages()
