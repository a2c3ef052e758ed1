"""Which journal a context uses, and whether it closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._registry import find_journal_opener
from resumable_stream.errors import InvalidSettingError
from resumable_stream.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._options import Options
    from resumable_stream.ports import Backend


class JournalSource(NamedTuple):
    """Gives each instance of a context its journal.

    Attributes:
        open: returns the journal beside a backend; None if there is none.
        owned: the instance closes what it opened.
    """

    open: Callable[[Backend], Journal | None]
    owned: bool


def check_journal(backend: Backend, source: JournalSource, options: Options) -> Backend:
    """Return the backend, unless text is to be kept, and there is nothing to keep it in.

    Raises:
        InvalidSettingError: there is no journal.
    """
    durability = options.durability
    if durability is not None and not source.owned and source.open(backend) is None:
        raise InvalidSettingError(
            f"durability {str(durability)!r} needs a journal, and this backend has none: "
            "pass journal=, such as 'sqlite:///answers.db', or durability=None"
        )
    return backend


def journal_source(journal: object) -> JournalSource:
    """Return the source for what was passed as ``journal=``: a URL, a journal, or None.

    Raises:
        InvalidSettingError: it is something else.
        BackendLookupError: the URL opens no journal.
    """
    match journal:
        case None:
            return JournalSource(lambda backend: getattr(backend, "journal", None), owned=False)
        case str():
            opener = find_journal_opener(journal)
            return JournalSource(lambda _backend: opener(journal), owned=True)
        case Journal() if not isinstance(journal, type):
            return JournalSource(lambda _backend: journal, owned=False)
        case _:
            kind = type(journal).__name__
            raise InvalidSettingError(
                f"journal is of type {kind}: pass a url, such as 'sqlite:///answers.db', "
                "or an object with the methods of Journal"
            )
