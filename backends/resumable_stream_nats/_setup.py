"""What the arguments and the URL of a backend or a journal say, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream.errors import InvalidSettingError
from resumable_stream_nats import _driver
from resumable_stream_nats._own_link import OwnLink
from resumable_stream_nats._settings import (
    BucketSettings,
    check_client,
    checked_inbox_prefix,
    checked_timeout,
    checked_url,
    parse_url,
)
from resumable_stream_nats._shared_link import SharedLink

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from nats.aio.client import Client

    from resumable_stream_nats._link import Link
    from resumable_stream_nats._settings import UrlSettings


@dataclass(frozen=True)
class Setup:
    """How to connect, and what the streams are called."""

    make_link: Callable[[], Link]
    bucket: BucketSettings
    timeout: float

    @classmethod
    def checked(
        cls,
        url: str | None,
        *,
        client: Client | None,
        bucket: str | None,
        storage: str | None,
        replicas: int | None,
        domain: str | None,
        credentials: str | Path | None,
        inbox_prefix: str | None,
        tls: ssl.SSLContext | None,
        timeout: float,
    ) -> Setup:
        """Check the settings.

        Raises:
            InvalidSettingError: an invalid setting; the message says what to pass.
            UnsupportedDriverError: nats-py is too old, or not as expected inside.
        """
        _driver.check()
        timeout = checked_timeout(timeout)
        if client is not None and url is None:
            check_client(client)
            if not (credentials is None and tls is None and inbox_prefix is None):
                raise InvalidSettingError(
                    "credentials, tls and inbox_prefix belong to a URL: the client has its own"
                )
            make_link: Callable[[], Link] = partial(SharedLink, client)
            given: dict[str, str] = {}
        elif url is not None and client is None:
            settings = parse_url(checked_url(url))
            given = settings.parameters
            make_link = _opener(settings, credentials, inbox_prefix, tls, timeout)
        else:
            raise InvalidSettingError("pass either a URL or client=")
        kept = BucketSettings.checked(
            given.get("bucket") if bucket is None else bucket,
            given.get("storage") if storage is None else storage,
            given.get("replicas") if replicas is None else replicas,
            given.get("domain") if domain is None else domain,
        )
        return cls(make_link, kept, timeout)


def _opener(
    settings: UrlSettings,
    credentials: str | Path | None,
    inbox_prefix: str | None,
    tls: ssl.SSLContext | None,
    timeout: float,
) -> Callable[[], Link]:
    given = settings.parameters
    context = settings.tls() if tls is None else tls
    named = given.get("credentials") if credentials is None else credentials
    inbox = checked_inbox_prefix(
        given.get("inbox_prefix") if inbox_prefix is None else inbox_prefix
    )
    return partial(OwnLink, settings.servers, named, inbox, context, timeout)
