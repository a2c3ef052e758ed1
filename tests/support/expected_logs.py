"""Which logged errors count against a program under test: all but the failure of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def is_unexpected(record: logging.LogRecord) -> bool:
    """Tell whether to log it; a source's failure is left out, because tests check its ending."""
    return "the source failed" not in record.getMessage()
