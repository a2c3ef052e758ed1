"""Change the core in one place at a time, and see whether any test notices.

``python -m simulation.mutation _text/log _protocol/wire --most 40`` tries up to 40 changes of each
of these modules, drawn from a seed, against the unit tests and then some seeds of the simulation,
and prints what survives.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import pathlib
import random
import resource
import signal
import sys
import threading
import types
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from simulation.world import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = pathlib.Path(__file__).parents[2]
CORE = ROOT / "src" / "resumable_stream"
_TESTS = ["tests/unit", "tests/test_vectors.py"]
_CORE = str(CORE)
_CPU_SECONDS = 40
_MEMORY = 4 * 1024**3

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_TELLS_SOMEBODY = ("logger", "Error(")


Path = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Change:
    """One change of a module: the text of a node, and what it becomes."""

    module: str
    line: int
    before: str
    after: str
    tree: ast.Module
    function: int
    """The first line of the function or method around it; 0 outside of all functions."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.before}  ->  {self.after}"


def changes(module: str) -> Iterator[Change]:
    """Yield every change of a module that this knows how to make."""
    tree = ast.parse((CORE / f"{module}.py").read_text())
    for path in _paths(tree, ()):
        for after in _instead_of(_at(tree, path)):
            before = _at(tree, path)
            changed = copy.deepcopy(tree)
            _put(changed, path, after)
            ast.fix_missing_locations(changed)
            function = _function_of(tree, path)
            yield Change(module, before.lineno, _text(before), _text(after), changed, function)


def _function_of(tree: ast.Module, path: Path) -> int:
    for depth in range(len(path)):
        node = _at(tree, path[:depth])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return min([node.lineno, *(one.lineno for one in node.decorator_list)])
    return 0


def _text(node: Any) -> str:
    return ast.unparse(node).replace("\n", " ")[:140]


def _paths(node: ast.AST, path: Path) -> Iterator[Path]:
    """Yield the path to every node that does something: no annotation, docstring or message."""
    if isinstance(node, ast.stmt | ast.expr):
        yield path
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "args"} and not isinstance(
            node, ast.Call
        ):
            continue
        children = value if isinstance(value, list) else [value]
        for at, child in enumerate(children):
            if isinstance(child, ast.AST) and not _is_idle(child):
                yield from _paths(child, (*path, (name, at if isinstance(value, list) else None)))


def _is_idle(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Call) and any(
        word in ast.unparse(node.func) + "(" for word in _TELLS_SOMEBODY
    )


def _at(tree: Any, path: Path) -> Any:
    for name, at in path:
        tree = getattr(tree, name) if at is None else getattr(tree, name)[at]
    return tree


def _put(tree: ast.Module, path: Path, node: Any) -> None:
    *way, (name, at) = path
    parent = _at(tree, tuple(way))
    if at is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[at] = node


def _instead_of(node: Any) -> Iterator[Any]:  # noqa: C901 - a list of what there is
    changed = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            changed.ops = [_COMPARISONS[type(operator)]()]
            yield changed
        case ast.BoolOp():
            changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield changed
        case ast.UnaryOp(op=ast.Not()):
            yield changed.operand
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _OPERATORS:
            changed.op = _OPERATORS[type(node.op)]()
            yield changed
        case ast.Constant(value=bool()):
            yield ast.Constant(value=not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(value=changed.value + 1)
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            changed.func.id = "max" if name == "min" else "min"
            yield changed
    if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.BoolOp):
        again = copy.deepcopy(node)
        again.test = ast.UnaryOp(op=ast.Not(), operand=again.test)
        yield again
    if isinstance(node, ast.Return) and ast.unparse(node) not in {"return", "return None"}:
        yield ast.Return(value=ast.Constant(value=None), lineno=node.lineno)
    if _can_be_left_out(node):
        yield ast.Pass(lineno=node.lineno)


def _can_be_left_out(node: Any) -> bool:
    match node:
        case (
            ast.Expr(value=ast.Call() as call) | ast.Expr(value=ast.Await(value=ast.Call() as call))
        ):
            return not _is_idle(call)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            return True
        case ast.Continue() | ast.Break() | ast.Raise() | ast.Delete():
            return True
    return False


def _apply(change: Change) -> bool:
    """Apply the change to the imported core; return False if that is impossible."""
    path = str(CORE / f"{change.module}.py")
    new = dict(_functions(compile(change.tree, path, "exec")))
    module = sys.modules[f"resumable_stream.{change.module.replace('/', '.')}"]
    if not change.function:
        return _set_constants(change, module)
    for function in _live_functions(vars(module).values(), module.__name__):
        code = function.__code__
        if code.co_firstlineno == change.function:
            function.__code__ = new[code.co_qualname, code.co_firstlineno]
            return True
    return False


def _functions(code: types.CodeType) -> Iterator[tuple[tuple[str, int], types.CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield (constant.co_qualname, constant.co_firstlineno), constant
            yield from _functions(constant)


def _live_functions(values: Iterable[Any], module: str) -> Iterator[types.FunctionType]:
    for member in values:
        value = member.fget if isinstance(member, property) else member
        value = getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType) and value.__module__ == module:
            yield value
        elif isinstance(value, type) and value.__module__ == module:
            yield from _live_functions(vars(value).values(), module)


def _set_constants(change: Change, module: types.ModuleType) -> bool:
    names: dict[str, Any] = {}
    for statement in change.tree.body:
        if isinstance(statement, ast.Assign) and statement.lineno == change.line:
            scope = dict(vars(module))
            exec(compile(ast.Module([statement], []), "changed", "exec"), scope)  # noqa: S102 - it is the core's
            names |= {name: scope[name] for name in map(ast.unparse, statement.targets)}
    for other in list(sys.modules.values()):
        if other.__name__.startswith("resumable_stream"):
            for name, value in names.items():
                if name in vars(other):
                    setattr(other, name, value)
    return bool(names)


class Mutator:
    """Runs all tests once to see what each calls; for each change, runs those that call it."""

    def __init__(self, modules: list[str], most: int, seeds: int) -> None:
        self._modules = modules
        self._most = most
        self._seeds = seeds
        self._calls: dict[tuple[str, int], dict[pytest.Item, None]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            self._watch(item)
        if session.testsfailed:
            sys.exit("the tests fail on the unchanged core")
        for module in self._modules:
            self._try(session, module)
        return True

    def _watch(self, item: pytest.Item) -> None:
        def on_event(frame: types.FrameType, event: str, _argument: object) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(_CORE):
                place = frame.f_code.co_filename, frame.f_code.co_firstlineno
                self._calls.setdefault(place, {})[item] = None

        sys.setprofile(on_event)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        finally:
            sys.setprofile(None)

    def _try(self, session: pytest.Session, module: str) -> None:
        every = list(changes(module))
        chosen = random.Random(module).sample(every, min(self._most, len(every)))
        counts: Counter[str] = Counter()
        for change in sorted(chosen, key=lambda change: change.line):
            what = self._run(session, change)
            counts[what] += 1
            print(f"  {what:<12} {change}", file=sys.__stderr__, flush=True)
        told = f"{module}: {len(every)} changes, {len(chosen)} tried: {dict(counts)}"
        print(told, file=sys.__stderr__, flush=True)

    def _run(self, session: pytest.Session, change: Change) -> str:
        """Try one change in a process of its own; return what noticed it."""
        items = list(session.items)
        if change.function:
            items = list(self._calls.get((str(CORE / f"{change.module}.py"), change.function), ()))
        for who, notice in (
            ("tests", partial(_tests, session, items)),
            ("simulation", partial(_simulation, self._seeds)),
        ):
            if not (child := os.fork()):
                self._notice(change, notice)
            watch = threading.Timer(300, os.kill, (child, signal.SIGKILL))
            watch.start()
            _, status = os.waitpid(child, 0)
            watch.cancel()
            code = os.waitstatus_to_exitcode(status)
            if code:
                return {1: who, 2: "impossible"}.get(code, f"{who}, by a limit")
        return "survived"

    @staticmethod
    def _notice(change: Change, notice: Callable[[], bool]) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        code = 1
        try:
            code = int(notice()) if _apply(change) else 2
        finally:
            os._exit(code)


def _tests(session: pytest.Session, items: list[pytest.Item]) -> bool:
    for item in items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        if session.testsfailed:
            return True
    return False


def _simulation(seeds: int) -> bool:
    return any(simulate(seed).problems for seed in range(seeds))


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation.mutation", description=__doc__)
    parser.add_argument("modules", nargs="+", help="such as _log or sse/_body")
    parser.add_argument("--most", type=int, default=40, help="changes to try of each module")
    parser.add_argument("--seeds", type=int, default=300, help="of the simulation")
    arguments = parser.parse_args()
    mutator = Mutator(arguments.modules, arguments.most, arguments.seeds)
    settings = ["-q", "-p", "no:cacheprovider", "--capture=no"]
    return int(pytest.main([*settings, *_TESTS], plugins=[mutator]))


if __name__ == "__main__":
    sys.exit(main())
