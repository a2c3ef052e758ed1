from __future__ import annotations

import inspect
import pickle

import resumable_stream
from resumable_stream import errors


def test_public_names_are_sorted_and_there() -> None:
    names = resumable_stream.__all__
    assert sorted(names) == sorted(set(names))
    public = {
        name
        for name, value in vars(resumable_stream).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public == set(names)


def test_every_error_is_public_and_documented() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, resumable_stream.ResumableStreamError)
        assert getattr(resumable_stream, name) is kind
        assert kind.__doc__
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").partition(" ")[0]
        if name.endswith("Error"):
            depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
            path[depth - 1 :] = [name]
            if depth > 1:
                drawn[name] = path[depth - 2]
    assert len(drawn) == len(errors.__all__) - 1
    for name, parent in drawn.items():
        assert getattr(errors, name).__bases__.count(getattr(errors, parent)) == 1


def test_public_calls_are_documented() -> None:
    for name in resumable_stream.__all__:
        value = getattr(resumable_stream, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        assert value.__doc__, name
        for member, function in inspect.getmembers(value, inspect.isfunction):
            if not member.startswith("_") and function.__module__.startswith("resumable_stream"):
                assert function.__doc__, f"{name}.{member}"


def test_stream_errors_travel_between_processes() -> None:
    for error in (
        errors.ProducerLostError("s", 7),
        errors.StreamFailedError("s", "ValueError", "x"),
        errors.HandshakeTimeoutError("s", 7, 3.0),
        errors.OffsetOutOfRangeError("s", 7, 9),
        errors.StreamExistsError("s", "taken"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
