"""Only the module ``_driver.py`` of a backend uses undocumented parts of a client library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

BACKENDS = Path(__file__).parent.parent / "backends"
PACKAGES = ("resumable_stream_redis", "resumable_stream_nats")
FOREIGN = {"asyncio", "hiredis", "nats", "redis"}
# Names without an underscore that are in no documentation.
UNDOCUMENTED = {
    "DefaultParser",
    "connection_kwargs",
    "is_master",
    "min_other_sentinels",
    "nodes_manager",
    "parse_error",
    "remap_host_port",
    "sentinel_kwargs",
    "sentinel_manager",
    "service_name",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


class Trespasses(ast.NodeVisitor):
    """Collects the private and undocumented names of others that a module uses.

    ``self._name`` is the module's own, unless its class derives from a class of a client library:
    then the name may belong to either.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._foreign: set[str] = set()
        self._owned = True

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._name(alias.name, alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._name(f"{node.module}.{alias.name}", alias.asname or alias.name)

    def _name(self, full: str, known_as: str) -> None:
        parts = full.split(".")
        if parts[0] in FOREIGN:
            self._foreign.add(known_as)
            if any(is_private(part) or part in UNDOCUMENTED for part in parts):
                self.found.append(full)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before = self._owned
        roots = {ast.unparse(base).partition(".")[0] for base in node.bases}
        # Classes such as asyncio.Protocol are made to be bases, and have no attributes.
        self._owned = not roots & (self._foreign - {"asyncio"})
        self.generic_visit(node)
        self._owned = before

    def visit_Attribute(self, node: ast.Attribute) -> None:
        own = self._owned and isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        if node.attr in UNDOCUMENTED or (is_private(node.attr) and not own):
            self.found.append(ast.unparse(node))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) in {"getattr", "setattr", "hasattr", "delattr"}:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    name = argument.value
                    if is_private(name) or name in UNDOCUMENTED:
                        self.found.append(ast.unparse(node))
        self.generic_visit(node)


def trespasses(source: str) -> list[str]:
    visitor = Trespasses()
    visitor.visit(ast.parse(source))
    return visitor.found


@pytest.mark.parametrize("package", PACKAGES)
def test_only_the_driver_uses_the_inside_of_others(package: str) -> None:
    modules = sorted((BACKENDS / package).rglob("*.py"))
    found = {path.name: trespasses(path.read_text("utf-8")) for path in modules}
    assert found.pop("_driver.py")
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "source",
    [
        "connection._writer.close()",
        "self._connection._writer",
        "self._pool.sentinel_manager",
        "getattr(manager, '_force_master_ip', None)",
        "setattr(client, '_error_cb', None)",
        "from redis._parsers import Encoder",
        "from redis.asyncio.connection import DefaultParser",
        "import redis._parsers",
        "from asyncio import _register_task",
        "from nats.aio.client import Client\nclass Own(Client):\n    def f(self): self._subs",
        "import nats\nclass Own(nats.NATS):\n    def f(self): self._subs",
    ],
)
def test_trespass_is_seen(source: str) -> None:
    assert trespasses(source)


@pytest.mark.parametrize(
    "source",
    [
        "self._connection.close()",
        "from resumable_stream.adapter_kit import Worker",
        "import asyncio\nclass Line(asyncio.Protocol):\n    def f(self): self._held",
        "from resumable_stream_redis import _driver\n_driver.drop(connection)",
        "type(self).__name__",
    ],
)
def test_what_is_its_own_is_no_trespass(source: str) -> None:
    assert trespasses(source) == []
