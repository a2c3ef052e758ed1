"""How the demo is shown: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from resumable_stream._cli.console import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_FRAME: Final = 0.04

_LABEL_WIDTH: Final = 13
_NOTE_WIDTH: Final = 34
_NARROWEST_BAR: Final = 8
_WIDEST_BAR: Final = 60

# More characters than a bar is wide, because white space is collapsed.
_TAIL: Final = 200

_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
_CLEAR_TO_END: Final = "\x1b[J"

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31"
_GREEN: Final = "32"
_INSTANCE_COLOURS: Final = {"A": "36", "B": "32", "C": "35"}


@dataclass
class Row:
    """One bar: the part of the text that the producer or a reader has covered.

    Attributes:
        going: whether to show the text ahead, too: false before a reader begins and after a cut.
    """

    instance: str
    label: str
    start: int = 0
    position: int = 0
    going: bool = False
    note: str = ""

    def begin(self, start: int, note: str) -> None:
        self.start = self.position = start
        self.going = True
        self.note = note

    def stop(self, note: str) -> None:
        self.going = False
        self.note = note


@dataclass
class Scene:
    """What to show: the story changes it, and a display draws it."""

    title: str
    total: int
    rows: list[Row] = field(default_factory=list)
    tail: str = ""
    over: bool = False
    say: Callable[[str, str], None] = lambda _instance, _message: None

    def read(self, chunk: str) -> None:
        """Show the reader's latest words."""
        self.tail = (self.tail + chunk)[-_TAIL:]

    def row(self, instance: str, label: str) -> Row:
        row = Row(instance, label)
        self.rows.append(row)
        return row


def is_live(output: TextIO) -> bool:
    """Tell whether the output is a terminal that can move its cursor."""
    if sys.platform == "win32" and not os.environ.get("WT_SESSION"):
        return False
    return output.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


class Plain:
    """Lines of text, as the story goes."""

    def __init__(self, output: TextIO, scene: Scene) -> None:
        self._output = output
        self._scene = scene
        scene.say = self._say

    async def show(self) -> None:
        """Write the title; everything else is said as it happens."""
        self._write(self._scene.title)

    def verdict(self, reader: str, expected: bytes, read: list[str]) -> bool:
        equal, words = compare(expected, read)
        self._write(f"{'ok' if equal else 'WRONG'}: {reader} {words}")
        return equal

    def _say(self, instance: str, message: str) -> None:
        self._write(f"[{instance}] {message}")

    def _write(self, line: str) -> None:
        self._output.write(line + "\n")
        # The reader of a pipe wants the line now, and a closed pipe should be noticed now.
        self._output.flush()


class Live:
    """A few lines that repaint themselves."""

    def __init__(self, output: TextIO, scene: Scene) -> None:
        self._output = output
        self._scene = scene
        self._colour = not os.environ.get("NO_COLOR")
        self._full, self._empty, self._tick = _glyphs(output)
        self._height = 0

    async def show(self) -> None:
        """Repaint until the scene is over; leave the last picture and a visible cursor."""
        self._output.write(_HIDE_CURSOR)
        try:
            while not self._scene.over:
                self._paint()
                await asyncio.sleep(_FRAME)
        finally:
            self._scene.over = True
            self._paint()
            self._output.write(_SHOW_CURSOR)
            self._output.flush()

    def verdict(self, reader: str, expected: bytes, read: list[str]) -> bool:
        equal, words = compare(expected, read)
        mark = self._styled(self._tick, _GREEN) if equal else self._styled("WRONG:", _RED)
        self._output.write(f" {mark} {reader} {words}\n")
        return equal

    def _paint(self) -> None:
        columns = shutil.get_terminal_size().columns - 1
        room = columns - _LABEL_WIDTH - _NOTE_WIDTH
        width = min(_WIDEST_BAR, max(_NARROWEST_BAR, room))
        lines = [self._styled(_crop(self._scene.title, columns), _BOLD), ""]
        lines += [self._bar(row, width, columns) for row in self._scene.rows]
        tail = one_line(self._scene.tail)[-width:]
        if not self._scene.over:
            lines += ["", " " * _LABEL_WIDTH + self._styled(_crop(tail, width), _DIM)]
        lines.append("")
        up = f"\x1b[{self._height}A" if self._height else ""
        # Each line is cleared after its text: clearing first would flicker.
        self._output.write(f"{up}\r" + "\x1b[K\n".join(lines) + _CLEAR_TO_END)
        self._output.flush()
        self._height = len(lines) - 1

    def _bar(self, row: Row, width: int, columns: int) -> str:
        start = row.start * width // self._scene.total
        end = row.position * width // self._scene.total
        label = f" {row.instance} {row.label:<{_LABEL_WIDTH - 3}}"
        filled = self._styled(self._full * (end - start), _INSTANCE_COLOURS[row.instance])
        ahead = self._styled((self._empty if row.going else " ") * (width - end), _DIM)
        percent = f"{100 * row.position // self._scene.total:4} %" if row.note else ""
        note = _crop(row.note, columns - _LABEL_WIDTH - width - len(percent) - 2)
        return f"{label}{' ' * start}{filled}{ahead}{percent}  {note}"

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour and text else text


def compare(expected: bytes, read: list[str]) -> tuple[bool, str]:
    """Return whether the text read is the file, byte for byte, and a sentence that says so."""
    got = "".join(read).encode("utf-8", "surrogatepass")
    if got == expected:
        return True, f"has read the file exactly: {len(got):,} bytes"
    pairs = enumerate(zip(got, expected, strict=False))
    at = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(got), len(expected)))
    return (
        False,
        f"has read {len(got):,} of {len(expected):,} bytes, and differs from byte {at:,} on",
    )


def _glyphs(output: TextIO) -> tuple[str, str, str]:
    glyphs = ("█", "░", "✓")
    try:
        "".join(glyphs).encode(output.encoding or "ascii")
    except UnicodeEncodeError:
        return ("#", ".", "ok:")
    return glyphs


def _crop(text: str, columns: int) -> str:
    """Cut the text to a number of terminal cells, with a dot for what is not one cell wide."""
    kept = one_line(text)[: max(columns, 0)]
    return "".join("·" if _odd_width(character) else character for character in kept)


def _odd_width(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" or bool(unicodedata.combining(character))
