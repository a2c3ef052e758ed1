"""Certificates and credentials that test servers accept."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import nkeys  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl is not None, "the TLS test needs the openssl program"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class NatsOperator:
    """Signs an account with JetStream, and credentials files for its users."""

    def __init__(self) -> None:
        self._operator = _pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = _pair(nkeys.PREFIX_BYTE_ACCOUNT)

    @property
    def config(self) -> str:
        """The configuration with which a server trusts this operator."""
        endless = dict.fromkeys(
            [
                *("subs", "data", "payload", "imports", "exports", "conn", "leaf"),
                *("mem_storage", "disk_storage", "streams", "consumer"),
            ],
            -1,
        )
        operator = {"type": "operator", "version": 2, "system_account": _public(self._system)}
        account = {"type": "account", "version": 2, "limits": endless | {"wildcards": True}}
        system = {"type": "account", "version": 2, "limits": {"conn": -1, "subs": -1}}
        tokens = {
            pair: _signed(self._operator, pair, claims)
            for pair, claims in ((self._account, account), (self._system, system))
        }
        preload = "\n".join(f"{_public(pair)}: {token}" for pair, token in tokens.items())
        return (
            f"operator: {_signed(self._operator, self._operator, operator)}\n"
            f"system_account: {_public(self._system)}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}"
        )

    def credentials(self, directory: Path, *, payload: int = -1) -> Path:
        """Write a user's credentials file; the user may be limited to smaller payloads."""
        user = _pair(nkeys.PREFIX_BYTE_USER)
        limits = {"subs": -1, "data": -1, "payload": payload}
        token = _signed(self._account, user, {"type": "user", "version": 2, **limits})
        path = directory / f"{_public(user)}.creds"
        seed = bytes(user.seed).decode()
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
        return path


def _pair(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def _public(pair: nkeys.KeyPair) -> str:
    return bytes(pair.public_key).decode()


def _signed(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, Any]) -> str:
    body: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": _public(issuer),
        "name": "tests",
        "sub": _public(subject),
        "nats": claims,
    }
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, body))
    return f"{text}.{_encoded(issuer.sign(text.encode()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
