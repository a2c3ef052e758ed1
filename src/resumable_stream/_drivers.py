"""Which versions of a client library a backend was tested with, and what to say of others."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream.errors import UnsupportedDriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

logger = logging.getLogger("resumable_stream")


class Tested(NamedTuple):
    """The versions of a package that the tests ran with: from ``lowest``, and below ``above``."""

    package: str
    lowest: str
    above: str

    def __str__(self) -> str:
        return f"{self.package}>={self.lowest},<{self.above}"


def check_versions(tested: Sequence[Tested]) -> None:
    """Refuse a package that is older than those tested; warn of one that is newer.

    A newer one may well fit: pip keeps it away unless told otherwise, and what a backend needs of
    its inside is checked by name.

    Raises:
        UnsupportedDriverError: a package is too old.
    """
    for one in tested:
        version = _numbers(_installed(one.package))
        if not version:
            continue  # in a frozen program, say, nothing tells the version
        if version < _numbers(one.lowest):
            raise unsupported(tested, f"{one.package} is too old")
        if version >= _numbers(one.above):
            logger.warning(
                "%s %s is newer than the versions that resumable-stream was tested with: %s",
                one.package,
                _installed(one.package),
                one,
            )


def check_inside(tested: Sequence[Tested], missing: Callable[[], list[str]]) -> None:
    """Refuse packages whose inside lacks names that a backend needs.

    Args:
        tested: the packages.
        missing: looks into them, and returns the names that are not there.

    Raises:
        UnsupportedDriverError: names are missing, or ``missing`` raised.
    """
    try:
        names = missing()
    except Exception as error:
        raise unsupported(tested, f"its inside is not as expected: {error!r}") from error
    if names:
        raise unsupported(tested, f"it lacks {', '.join(names)}")


def refuse_import(tested: Sequence[Tested], error: Exception) -> None:
    """Refuse packages that a backend cannot import from, unless one is not installed at all.

    Raises:
        UnsupportedDriverError: all of them are installed.
    """
    if all(_installed(one.package) for one in tested):
        raise unsupported(tested, f"an import failed: {error}") from error


def lacking(label: str, owner: object, names: Iterable[str]) -> list[str]:
    """Return which attributes are not there, under the name that ``label`` gives their owner."""
    return [f"{label}.{name}" for name in names if not hasattr(owner, name)]


def unsupported(tested: Sequence[Tested], trouble: str) -> UnsupportedDriverError:
    """Describe installed packages that a backend cannot use."""
    found = ", ".join(f"{one.package} {_installed(one.package) or '?'}" for one in tested)
    python = ".".join(map(str, sys.version_info[:3]))
    command = " ".join(f"'{one}'" for one in tested)
    return UnsupportedDriverError(
        f"this backend cannot use its client library: {trouble}. Found: {found}, Python {python}. "
        f"Tested: {', '.join(map(str, tested))}. "
        f"Run: pip install --upgrade resumable-stream {command}"
    )


def _installed(package: str) -> str:
    # Imported here: it costs more than the rest of this package together.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version starts with: 8.1.0b2 gives 8, 1 and 0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
