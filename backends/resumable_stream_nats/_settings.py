"""What a URL says: servers, credentials, TLS, and the bucket."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from nats.aio.client import Client

from resumable_stream.errors import InvalidSettingError

STORAGES = ("file", "memory")

_DEFAULT_PORT = 4222
_MAX_REPLICAS = 5
_SCHEMES = ("nats", "tls")
_TLS_FILES = ("tls_ca", "tls_cert", "tls_key")
_PARAMETERS = frozenset(
    {"bucket", "storage", "replicas", "domain", "credentials", "inbox_prefix", *_TLS_FILES}
)
_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,64}")
# One token of a subject, and several with dots between them; wildcards are not allowed.
_DOMAIN = re.compile(r"[^\s\x00-\x1f\x7f.*>]+")
_INBOX = re.compile(rf"{_DOMAIN.pattern}(\.{_DOMAIN.pattern})*")
_MAX_LENGTH = 64


@dataclass(frozen=True)
class BucketSettings:
    """The key-value bucket; storage and replicas are for one that this backend creates."""

    name: str
    storage: str
    replicas: int
    domain: str | None = None
    """The JetStream domain that holds it; None for the connected server's own."""

    @classmethod
    def checked(
        cls, name: str | None, storage: str | None, replicas: Any, domain: str | None
    ) -> BucketSettings:
        name = "resumable-stream" if name is None else name
        storage = "file" if storage is None else storage
        replicas = 1 if replicas is None else replicas
        if not _BUCKET.fullmatch(name):
            raise InvalidSettingError(
                f"bucket {name!r:.80} must have 1 to 64 letters, digits, '-' and '_'"
            )
        if storage not in STORAGES:
            raise InvalidSettingError(f"storage {storage!r:.80} must be {' or '.join(STORAGES)}")
        try:
            number = int(replicas)
        except (TypeError, ValueError):
            number = 0
        if not 1 <= number <= _MAX_REPLICAS:
            raise InvalidSettingError(f"replicas {replicas!r:.80} must be 1 to {_MAX_REPLICAS}")
        if domain is not None and not (_DOMAIN.fullmatch(domain) and len(domain) <= _MAX_LENGTH):
            raise InvalidSettingError(
                f"domain {domain!r:.80} must have 1 to {_MAX_LENGTH} characters, and no space, "
                "'.', '*' or '>'"
            )
        return cls(name, storage, number, domain)


@dataclass(frozen=True)
class Servers:
    """Where to connect, and as whom."""

    urls: tuple[str, ...]
    host: str
    """The first server's: its certificate also covers the servers that it announces."""
    tls_only: bool
    login: dict[str, str] = field(repr=False)
    """``user`` and ``password``, or ``token``."""


@dataclass(frozen=True)
class UrlSettings:
    servers: Servers
    parameters: dict[str, str] = field(repr=False)

    def tls(self) -> ssl.SSLContext | None:
        """Return the context that the URL's files make; None if it names none."""
        authority, certificate, key = (self.parameters.get(name) for name in _TLS_FILES)
        if key is not None and certificate is None:
            raise InvalidSettingError("tls_key without tls_cert: name the certificate's file, too")
        if authority is None and certificate is None:
            return None
        try:
            context = ssl.create_default_context(cafile=authority)
            if certificate is not None:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSettingError(f"cannot use the URL's TLS files: {error}") from error
        return context


def parse_url(url: str) -> UrlSettings:
    """Read ``nats://[user:password@]host[:port][,...][?parameters]``.

    Each server may repeat the scheme.

    Raises:
        InvalidSettingError: it is wrong; the message holds no secret.
    """
    places, _, query = url.partition("?")
    scheme = places.partition("://")[0].lower()
    try:
        parts = [_split(place, scheme) for place in places.split(",")]
        parameters = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        if unknown := sorted(parameters.keys() - _PARAMETERS):
            known = ", ".join(sorted(_PARAMETERS))
            raise ValueError(f"no such parameter: {', '.join(unknown)}; there are {known}")  # noqa: TRY301 - one place adds the URL
        logins = [login for part in parts if (login := _login(part))]
    except ValueError as error:
        raise InvalidSettingError(f"cannot use this NATS URL ({scheme}://…): {error}") from error
    return UrlSettings(
        Servers(
            urls=tuple(_address(part) for part in parts),
            host=parts[0].hostname or "",
            tls_only=scheme == "tls",
            login=logins[0] if logins else {},
        ),
        parameters,
    )


def checked_url(url: object) -> str:
    if isinstance(url, str):
        return url
    remedy = "pass it as client=" if isinstance(url, Client) else "pass text, or client="
    raise InvalidSettingError(f"the URL is {_shown(url)}: {remedy}")


def check_client(client: object) -> None:
    if not isinstance(client, Client):
        if isinstance(client, str):
            remedy = "pass a URL as the first argument, or as client= a connected client"
        elif asyncio.iscoroutine(client):
            client.close()
            remedy = "pass what it returns: client=await nats.connect(...)"
        else:
            remedy = "pass a connected nats.aio.client.Client, or a URL as the first argument"
        raise InvalidSettingError(f"client= is {_shown(client)}: {remedy}")
    if client.options.get("no_echo"):
        raise InvalidSettingError(
            "this client has no_echo: readers beside a producer would not hear it"
        )


def checked_timeout(timeout: object) -> float:
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise InvalidSettingError(f"timeout {timeout!r:.80} must be a positive number of seconds")
    return timeout


def checked_inbox_prefix(prefix: str | None) -> str | None:
    """Return the prefix of a connection's inboxes; None for the driver's own.

    Raises:
        InvalidSettingError: no subject can begin with it.
    """
    if prefix is not None and not (_INBOX.fullmatch(prefix) and len(prefix) <= _MAX_LENGTH):
        raise InvalidSettingError(
            f"inbox_prefix {prefix!r:.80} must have 1 to {_MAX_LENGTH} characters, in tokens with "
            "dots between them, and no space, '*' or '>'"
        )
    return prefix


def _split(place: str, scheme: str) -> SplitResult:
    parts = urlsplit(place if "://" in place else f"{scheme}://{place}")
    if parts.scheme not in _SCHEMES or parts.scheme != scheme:
        raise ValueError("all servers have one scheme, nats or tls")
    try:
        port = parts.port
    except ValueError:
        # urllib's message quotes the text in the port's place, which may be half a password.
        raise ValueError("a port is a number up to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError("a server has a host, and a port that is not 0")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("a server has no path")
    return parts


def _address(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _DEFAULT_PORT}"


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    if parts.password is None:
        return {"token": unquote(parts.username)}
    return {"user": unquote(parts.username), "password": unquote(parts.password)}


def _shown(value: object) -> str:
    """Return the type of a value, which may itself hold a secret."""
    kind = value if isinstance(value, type) else type(value)
    return (
        f"{'the class' if isinstance(value, type) else 'a'} {kind.__module__}.{kind.__qualname__}"
    )
