"""Which parts of the core may import which, even if only for type checking."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

CORE = Path(__file__).parent.parent / "src" / "resumable_stream"
BACKENDS = Path(__file__).parent.parent / "backends"
# Modules that are built from the core, which must not import them.
ABOVE = {"_cli", "adapter_kit", "sse", "__main__"}
# The module of the public names: to import it is to import everything that they need.
FACE = {"__init__"}


def room(module: str) -> str:
    """Return the wing that a module lies in, or the module itself."""
    return module.partition(".")[0]


def imported(path: Path) -> set[str]:
    """Return all modules that a module imports, of this package and of others."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def neighbours() -> dict[str, set[str]]:
    """Return which rooms of the package each room imports."""
    rooms: dict[str, set[str]] = defaultdict(set)
    known = {room(path.relative_to(CORE).with_suffix("").parts[0]) for path in CORE.rglob("*.py")}
    for path in CORE.rglob("*.py"):
        here = room(path.relative_to(CORE).with_suffix("").parts[0])
        for name in imported(path):
            package, _, module = name.partition(".")
            if package == "resumable_stream":
                there = room(module) if room(module) in known else "__init__"
                rooms[here] |= {there} - {here}
    return rooms


def test_the_two_sides_meet_only_at_the_wire() -> None:
    rooms = neighbours()
    assert "_producing" not in rooms["_reading"]
    assert "_reading" not in rooms["_producing"]
    assert rooms["_text"] <= {"errors"}
    assert rooms["_protocol"] <= {"_options", "_text", "errors", "ports"}


def test_the_core_imports_nothing_that_is_built_from_it() -> None:
    for here, there in neighbours().items():
        if here not in ABOVE:
            assert not there & (ABOVE | FACE), here


def test_the_core_imports_no_backend_and_no_driver() -> None:
    for path in CORE.rglob("*.py"):
        for name in imported(path):
            package = name.partition(".")[0]
            assert not package.startswith("resumable_stream_"), path
            assert package not in {"redis", "hiredis", "nats", "valkey"}, path


def test_backends_import_only_what_a_stranger_may() -> None:
    """A backend may import public modules of the core, and its own."""
    for path in BACKENDS.rglob("*.py"):
        own = path.relative_to(BACKENDS).parts[0]
        for name in imported(path):
            package, *inner = name.split(".")
            if package == "resumable_stream":
                assert inner[0] in {"adapter_kit", "errors", "journal", "ports"}, f"{path}: {name}"
                assert not any(part.startswith("_") for part in inner), f"{path}: {name}"
            else:
                assert package == own or not package.startswith("resumable_stream_"), path


def test_no_room_is_reached_from_itself() -> None:
    rooms = neighbours()
    reached: dict[str, set[str]] = {here: set(there) for here, there in rooms.items()}
    for _ in rooms:
        for there in reached.values():
            there |= {far for near in tuple(there) for far in reached.get(near, ())}
    assert [here for here, there in reached.items() if here in there] == []
