"""The response class that the README's endpoint returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable


@dataclass
class StreamingResponse:
    content: AsyncIterable[str]
    media_type: str
