"""The errors of ``adapter_kit``, and its public names, which all exist and are sorted."""

from __future__ import annotations

import asyncio

import pytest

import resumable_stream.adapter_kit as kit
from resumable_stream import BackendUnavailableError, OutcomeUnknownError
from resumable_stream.adapter_kit import (
    PROGRAM_ERRORS,
    Worker,
    again,
    caused,
    closed,
    ending,
)


class DetailedError(BackendUnavailableError):
    """An error with an attribute besides its message."""

    def __init__(self, version: str) -> None:
        super().__init__(f"version {version} is too old")
        self.version = version

    def __reduce__(self) -> tuple[object, ...]:
        return (DetailedError, (self.version,))


def test_public_names_are_sorted_and_there() -> None:
    capitals_first = sorted(kit.__all__, key=lambda name: (not name.isupper(), name))
    assert capitals_first == kit.__all__
    assert all(hasattr(kit, name) for name in kit.__all__)
    assert all(f"`{name}`" in (kit.__doc__ or "") for name in kit.__all__)


def test_an_error_is_given_its_cause() -> None:
    error, cause = OutcomeUnknownError("perhaps"), OSError("why")
    assert caused(error, cause) is error
    assert error.__cause__ is cause


def test_a_copied_error_says_the_same_with_a_traceback_of_its_own() -> None:
    with pytest.raises(DetailedError) as raised:
        raise caused(DetailedError("1.0"), OSError("why"))
    error = raised.value
    copied = again(error)
    assert copied is not error
    assert (type(copied), copied.args, copied.version) == (DetailedError, error.args, "1.0")
    assert copied.__cause__ is error.__cause__
    assert (copied.__traceback__, error.__traceback__ is None) == (None, False)


def test_every_backend_is_closed_in_the_same_words() -> None:
    assert "this Carrier backend was closed" in str(closed("Carrier"))
    assert "close the Carrier backend" in str(ending("Carrier"))
    assert {type(closed("")), type(ending(""))} == {BackendUnavailableError}


def test_outages_are_no_mistakes_of_a_program() -> None:
    assert not any(issubclass(kind, PROGRAM_ERRORS) for kind in (OSError, ValueError, LookupError))
    assert all(issubclass(kind, PROGRAM_ERRORS) for kind in (TypeError, AttributeError))


async def test_a_stopped_worker_lets_no_caller_pass() -> None:
    async def run() -> None: ...

    worker = Worker(run, "part", lambda: False, lambda _error: None, backend="Carrier")
    worker.check()
    await worker.stop()
    with pytest.raises(BackendUnavailableError, match="this Carrier backend was closed"):
        worker.check()
    assert str(worker.refusal()) == str(closed("Carrier"))


def test_a_worker_that_is_being_cut_off_lets_no_caller_pass() -> None:
    refusals: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(BackendUnavailableError) as refused:
                worker.check()
            refusals.append(str(refused.value))

    worker = Worker(run, "part", lambda: True, lambda _error: None, backend="Carrier")

    async def main() -> None:
        worker.begin()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert refusals == [str(ending("Carrier"))]
