"""A deliberate fault in the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pathlib

_CORE = "src/resumable_stream"


@dataclass(frozen=True)
class Mutant:
    """One fault: a text of the core, and the text that replaces it.

    Args:
        what: what goes wrong.
        file: its path in the core, or from the project's root.
        right: the correct text, which occurs exactly once in the file.
        wrong: what replaces it.
        found: whether the core once had this fault, and a seed revealed it.
    """

    what: str
    file: str
    right: str
    wrong: str
    found: bool = False

    @property
    def path(self) -> str:
        return self.file if self.file.startswith(("backends/", "src/")) else f"{_CORE}/{self.file}"

    def apply(self, root: pathlib.Path) -> None:
        path = root / self.path
        path.write_text(path.read_text().replace(self.right, self.wrong))
