"""Select tests by what they prove: ``--rule LSN-3``, ``--promise P5``, each any number of times."""

from __future__ import annotations

from typing import Any

import pytest


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rule",
        "--promise",
        action="append",
        default=[],
        dest="rules",
        metavar="ID",
        help="run what proves this rule of PROTOCOL.md, or this promise; may be repeated",
    )


def rules_of(item: pytest.Item) -> set[str]:
    """Return the rules and promises that a test names, in its marker or as a law of the suite."""
    function: Any = getattr(item, "function", None)
    marked = {rule for marker in item.iter_markers("rule") for rule in marker.args}
    return marked | set(getattr(function, "rules", ()))


def deselect_others(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that prove one of the rules asked for, or all tests if none was.

    Raises:
        UsageError: no test proves one of them.
    """
    asked = set(config.getoption("rules"))
    if not asked:
        return
    proved = {item: rules_of(item) for item in items}
    if unknown := asked - set().union(*proved.values()):
        raise pytest.UsageError(
            f"no test here proves {', '.join(sorted(unknown))}: "
            "conformance/PROTOCOL.md lists the rules and promises"
        )
    items[:] = [item for item in items if proved[item] & asked]
    config.hook.pytest_deselected(items=[item for item in proved if item not in items])
