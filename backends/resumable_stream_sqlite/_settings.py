"""What a journal may be given, checked before anything is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from resumable_stream.errors import InvalidSettingError

_FORMS = (
    "write sqlite:///answers.db for a file in the working directory, "
    "or sqlite:////var/lib/answers.db"
)
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def path_of(url: object) -> str:
    """Return the path that ``sqlite:///path`` names.

    Raises:
        InvalidSettingError: the URL has another form.
    """
    if not isinstance(url, str):
        raise InvalidSettingError(f"the journal's URL is {url!r:.80}: {_FORMS}")
    scheme, separator, rest = url.partition("://")
    address, question, _ = rest.partition("?")
    if scheme.lower() != "sqlite" or not separator:
        raise _refused(url, "is not an SQLite URL", _FORMS)
    if question:
        raise _refused(url, "has parameters, of which there are none", "leave out what follows '?'")
    if not address.strip("/"):
        raise _refused(url, "names no file", _FORMS)
    if not address.startswith("/"):
        raise _refused(url, "names a host", _FORMS)
    if "#" in address:
        raise _refused(url, "has a fragment", "write %23 for a '#' in the file's name")
    if _BAD_ESCAPE.search(address):
        raise _refused(url, "has a '%' that escapes nothing", "write %25 for a '%'")
    try:
        path = unquote_to_bytes(address[1:]).decode()
    except UnicodeDecodeError as error:
        raise _refused(url, "is not UTF-8 once decoded", "escape the path's UTF-8 bytes") from error
    return checked_path(path)


def checked_path(path: object) -> str:
    """Return the absolute path of a file.

    Raises:
        InvalidSettingError: it cannot be the path of a file.
    """
    if not isinstance(path, (str, Path)) or not str(path):
        raise InvalidSettingError(f"the journal's path is {path!r:.80}: name a file")
    text = str(path)
    if text.startswith(":memory:"):
        raise InvalidSettingError(
            f"the journal's path is {text!r}, which no restart survives: name a file"
        )
    if "\0" in text:
        raise InvalidSettingError(f"the journal's path {text!r} has a NUL character: leave it out")
    if text.endswith(("/", os.sep)):
        raise InvalidSettingError(f"the journal's path {text!r} is a folder: name a file in it")
    # The working directory may change before the file is first opened.
    return os.path.abspath(text)  # noqa: PTH100 - a name may be a link that leads elsewhere later


def checked_timeout(timeout: object) -> float:
    """Return the timeout.

    Raises:
        InvalidSettingError: it is not a positive number.
    """
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise InvalidSettingError(f"timeout {timeout!r:.80} must be a positive number of seconds")
    return timeout


def _refused(url: str, why: str, remedy: str) -> InvalidSettingError:
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    shown = f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"
    return InvalidSettingError(f"the journal's URL {shown!r} {why}: {remedy}")
