"""Texts that every process can generate by itself from a few numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# What the npm package ends a stream with. It is data when a source yields it.
END_MARKER = "\n\n\nDONE_SENTINEL_hasdfasudfyge374%$%^$EDSATRTYFtydryrte\n"

_LETTERS = "abcdefghij \n\r\té€\u2028\0\N{ROCKET}\N{WOMAN}\N{ZERO WIDTH JOINER}\U0010ffff"
_EMOJI = "\N{ROCKET}\N{GRINNING FACE}\N{WOMAN}\U00010000\U0010ffff"
_BULK = 64 * 1024
_BIG = 8 * 1024 * 1024


@dataclass(frozen=True)
class Source:
    """The recipe of a source: every process makes the same text from it.

    Attributes:
        kind: which text, one of ``KINDS``.
        gated_from: from this chunk on, each chunk and the end wait for a permit of the gate.
        fail_at: raise instead of this chunk, or instead of the end.
        pause: seconds before each chunk.
    """

    kind: str = "words"
    seed: int = 1
    count: int = 100
    gated_from: int | None = None
    fail_at: int | None = None
    pause: float = 0.0

    def chunks(self, skip: int = 0) -> Iterator[str]:
        """The chunks that a reader from offset ``skip`` gets, if the source gets to its end."""
        return _from(skip, KINDS[self.kind](Random(self.seed), self.count))

    def units(self, count: int | None = None) -> int:
        """The offset after ``count`` chunks, or after all."""
        return sum(map(utf16, islice(self.chunks(), count)))

    def reseeded(self, seed: int) -> Self:
        return replace(self, seed=seed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def utf16(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _from(skip: int, chunks: Iterable[str]) -> Iterator[str]:
    left, cut = skip, skip > 0
    for chunk in chunks:
        units = utf16(chunk) if left or cut else 0
        if cut and units <= left:
            left -= units
            continue
        if left:
            rest = chunk.encode("utf-16-le", "surrogatepass")[2 * left :]
            yield rest.decode("utf-16-le", "surrogatepass")
        else:
            yield chunk
        left, cut = 0, False


def _words(random: Random, count: int) -> Iterator[str]:
    for number in range(count):
        letters = "".join(random.choices(_LETTERS, k=random.randrange(40)))
        yield f"{number} {letters}" if number % 17 else ""


def _emoji(random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        yield "".join(random.choices(_EMOJI, k=random.randrange(1, 4)))


def _big(random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        piece = "".join(random.choices(_LETTERS, k=1021))
        yield (piece * (_BIG // len(piece.encode()) + 1)).encode()[:_BIG].decode(errors="ignore")


def _tiny(random: Random, count: int) -> Iterator[str]:
    yield from random.choices(_LETTERS, k=count)


def _bulk(random: Random, count: int) -> Iterator[str]:
    piece = "".join(random.choices("abcdefgh", k=_BULK - 8))
    for number in range(count):
        yield f"{number:08d}{piece}"


def _markers(random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        at = random.randrange(1, len(END_MARKER))
        yield from (END_MARKER, END_MARKER[:at], END_MARKER[at:], f"a{END_MARKER}", END_MARKER * 2)


def _surrogates(random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        yield from ("\ud83d", "\ude80", "a\udfffb", "\ude80\ud83d", "\ud83d\ude80", "\N{ROCKET}")


def _separators(random: Random, count: int) -> Iterator[str]:
    for number in range(count):
        letters = "abé" + "\x1e\x1f\x1d\x1c"[: 5 * number // count]
        yield "".join(random.choices(letters, k=random.randrange(1_000)))


def _empty(_random: Random, count: int) -> Iterator[str]:
    yield from [""] * count


KINDS: dict[str, Callable[[Random, int], Iterator[str]]] = {
    "words": _words,
    "emoji": _emoji,
    "big": _big,
    "tiny": _tiny,
    "bulk": _bulk,
    "markers": _markers,
    "surrogates": _surrogates,
    "separators": _separators,
    "empty": _empty,
}
