"""No driver error leaves the adapter unmapped, whatever the server answers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from redis import exceptions

from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    OutcomeUnknownError,
    WrongKeyTypeError,
)
from resumable_stream_redis import RedisBackend
from resumable_stream_redis._errors import is_wrong_type, lost, outside_script, refused
from support.calls import every_call
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from support.inbox import Inbox

DRIVER_ERRORS = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, Exception)
]


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, exceptions.AskError):
        return kind("1234 127.0.0.1:7000")
    return kind("it happened")


@pytest.mark.parametrize("kind", DRIVER_ERRORS)
def test_every_driver_error_has_a_mapping(kind: type[Exception]) -> None:
    error = made(kind)
    outcomes = [refused(error), lost(error, sent=True, write=False)]
    outcomes += [lost(error, sent=False, write=True)]
    denied = kind is exceptions.NoPermissionError
    assert type(outcomes[0]) is (AccessDeniedError if denied else BackendUnavailableError)
    assert {type(outcome) for outcome in outcomes[1:]} == {BackendUnavailableError}
    assert isinstance(lost(error, sent=True, write=True), OutcomeUnknownError)
    assert all(outcome.__cause__ is error for outcome in outcomes)


@pytest.mark.parametrize(
    ("credentials", "hint"), [("", "credentials"), (":wrong@", "credentials"), ("u:x@", "password")]
)
async def test_wrong_credentials_name_the_remedy(
    valkey: ValkeyServer, name: str, credentials: str, hint: str
) -> None:
    with valkey.client() as client:
        client.config_set("requirepass", "right")
    backend = RedisBackend(valkey.url.replace("//", f"//{credentials}"), timeout=1)
    for error in await every_call(backend, name):
        assert isinstance(error, BackendUnavailableError)
        assert hint in str(error)
    await backend.aclose()


async def test_missing_rights_are_named(valkey: ValkeyServer, name: str) -> None:
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "resetchannels", "+ping")
    backend = RedisBackend(valkey.url.replace("//", "//weak:pw@"), timeout=1)
    for error in await every_call(backend, name):
        assert isinstance(error, BackendUnavailableError)
        assert "evalsha" in str(error)
    await backend.aclose()


async def test_least_rights_suffice(valkey: ValkeyServer, inbox: Inbox) -> None:
    rights = "+get +set +del +eval +evalsha +publish +subscribe +unsubscribe +ping"
    with valkey.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "least", "on", ">pw", "resetchannels"),
            *("~resumable-stream:rs:*", "&resumable-stream:rs:*", *rights.split()),
        )
    backend = RedisBackend(valkey.url.replace("//", "//least:pw@"))
    name = "resumable-stream:rs:sentinel:x"
    subscription = await inbox.subscribe(backend, name)
    assert await backend.create(name, "1", ttl=60)
    assert await backend.compare_and_set(name, "1", "2", ttl=60)
    await backend.set(name, "3", ttl=60)
    assert await backend.get(name) == "3"
    await backend.delete(name)
    await backend.publish(name, b"m")
    await inbox.received(b"m")
    await subscription.aclose()
    with pytest.raises(AccessDeniedError, match="lacks a right"):
        await inbox.subscribe(backend, "elsewhere")
    await backend.aclose()


async def test_right_that_only_a_script_needs_is_missed(valkey: ValkeyServer, name: str) -> None:
    with valkey.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "weak", "on", ">pw", "~*", "+set", "+del", "+eval", "+evalsha")
        )
    backend = RedisBackend(valkey.url.replace("//", "//weak:pw@"))
    assert await backend.create(name, "1", ttl=60)
    with pytest.raises(AccessDeniedError, match="get"):
        await backend.compare_and_set(name, "1", "2", ttl=60)
    await backend.aclose()


async def test_replica_refuses_only_writes(valkey: ValkeyServer, name: str, inbox: Inbox) -> None:
    with ValkeyServer("--replicaof", "127.0.0.1", str(valkey.port)) as replica:
        backend = RedisBackend(replica.url)
        for write in (backend.create(name, "v", ttl=5), backend.delete(name)):
            with pytest.raises(BackendUnavailableError, match="primary"):
                await write
        with replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert await backend.create(name, "v", ttl=5)
        await backend.aclose()


async def test_full_server_executes_nothing(name: str) -> None:
    with ValkeyServer("--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
        backend = RedisBackend(server.url)
        for write in (
            backend.create(name, "v", ttl=5),
            backend.set(name, "v", ttl=5),
        ):
            with pytest.raises(BackendUnavailableError, match="memory"):
                await write
        assert await backend.get(name) is None
        await backend.aclose()


async def test_key_of_the_wrong_kind_is_named(own: RedisBackend, valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.lpush("list", "x")
        client.hset("hash", "field", "x")
    calls: list[tuple[str, Awaitable[object]]] = [
        *((key, own.get(key)) for key in ("list", "hash")),
        *((key, own.compare_and_set(key, "x", "y", ttl=60)) for key in ("list", "hash")),
    ]
    for key, call in calls:
        with pytest.raises(WrongKeyTypeError, match=f"'{key}' .* another key_prefix") as caught:
            await call
        assert caught.value.__cause__ is not None
    # Such a key counts as present, and can be removed.
    for key in ("list", "hash"):
        assert not await own.create(key, "y", ttl=60)
        await own.delete(key)
        assert await own.create(key, "y", ttl=60)


@pytest.mark.parametrize(
    "reply",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key",
    ],
)
def test_wrong_type_is_known_by_its_reply(reply: str) -> None:
    assert is_wrong_type(exceptions.ResponseError(reply))
    assert not is_wrong_type(exceptions.ResponseError("ERR unknown command"))


BEFORE_7 = "Error running script (call to f_1): @user_script:1: @user_script: 1: "


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("-READONLY You can't write against a read only replica.", exceptions.ReadOnlyError),
        ("-OOM command not allowed when used memory > 'maxmemory'.", exceptions.OutOfMemoryError),
        (
            "The user executing the script can't run this command or subcommand",
            exceptions.NoPermissionError,
        ),
    ],
)
def test_error_of_a_command_in_a_script_is_that_of_the_command(
    reply: str, kind: type[Exception]
) -> None:
    for prefix in (BEFORE_7, "@user_script: 1: "):
        assert type(outside_script(exceptions.ResponseError(prefix + reply))) is kind
    other = exceptions.ResponseError("unknown command")
    assert outside_script(other) is other
