"""What a program under test may log: a test that lets a source fail looks at its ending."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def is_unexpected(record: logging.LogRecord) -> bool:
    """Whether to log it: all that is logged as an error is a complaint of the program."""
    return "the source failed" not in record.getMessage()
