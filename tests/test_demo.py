"""The demo: on pipes, in a terminal, with good and bad files, interrupted and cut off."""

from __future__ import annotations

import io
import re
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream._cli.console import ExitStatus
from resumable_stream._cli.demo import story
from resumable_stream._cli.demo.display import compare
from support.programs import PATIENCE, Terminal, run, start

if TYPE_CHECKING:
    from pathlib import Path

ESCAPE = "\x1b"
SHOW_CURSOR = "\x1b[?25h"
HIDE_CURSOR = "\x1b[?25l"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(story.tokens(text)) == text


def test_long_text_has_bounded_tokens() -> None:
    text = "word \N{ROCKET}\n" * 200_000
    found = story.tokens(text)
    assert "".join(found) == text
    assert len(found) <= 4_000


def test_long_word_is_cut_up() -> None:
    assert len(story.tokens("a" * 10_000)) > 100


def test_difference_is_located() -> None:
    assert compare(b"abc", ["a", "bc"])[0]
    equal, words = compare(b"abcd", ["ab", "xd"])
    assert not equal
    assert "byte 2" in words
    equal, words = compare(b"abcd", ["ab"])
    assert not equal
    assert "2 of 4 bytes" in words


async def test_wrong_text_gives_status_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "tokens", lambda _text: ["some", "thing ", "else"])
    output = io.StringIO()
    assert await story.demo(None, "memory://wrong-text", output) is ExitStatus.FAILED
    assert output.getvalue().count("WRONG: reader") == 2


def test_piped_demo_is_plain_text() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode()
    assert ESCAPE not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[0].startswith("ports.py: ")
    assert len([line for line in lines if line.startswith("ok: reader ")]) == 2


def test_reader_resumes_at_the_cut() -> None:
    text = run("demo").stdout.decode()
    cut = re.search(r"^\[A\] reader 1 is cut at offset ([0-9,]+)", text, re.MULTILINE)
    resumed = re.search(r"^\[B\] reader 1 resumes at offset ([0-9,]+)", text, re.MULTILINE)
    assert cut
    assert resumed
    assert cut[1] == resumed[1] != "0"
    assert "[C] reader 2 follows from offset 0" in text


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "ab",
        "\N{ROCKET}",
        "\N{ROCKET}\N{FAMILY}" * 500,
        "a\r\nb\rc\n" * 50,
        "\ufeffwith a mark",
        "e\u0301 \u202e\x00\x1b[31m\u2028\U0010ffff",
        "w" * 30_000,
        "\n\n\nDONE_SENTINEL",
    ],
    ids=["one", "two", "rocket", "emoji", "line ends", "mark", "odd", "one word", "marker"],
)
def test_any_text_arrives_exactly(text: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    done = run("demo", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    exactly = f"has read the file exactly: {len(text.encode()):,} bytes"
    assert done.stdout.decode().count(exactly) == 2


def test_large_file_is_done_in_time(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text("A line with an emoji \N{ROCKET} in it.\n" * 300_000, encoding="utf-8")
    done = run("demo", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_encodings_are_no_trouble() -> None:
    assert run("demo", PYTHONIOENCODING="ascii", PYTHONUTF8="0").returncode == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "is empty"), (b"fine\xff", "byte 4")],
    ids=["missing", "empty", "latin-1"],
)
def test_unusable_file_is_one_line(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "unusable\ntext"
    if content is not None:
        path.write_bytes(content)
    expect_usage_error(str(path), words)


def test_folder_is_no_file(tmp_path: Path) -> None:
    expect_usage_error(str(tmp_path), "directory")


def expect_usage_error(path: str, words: str) -> None:
    done = run("demo", path)
    assert done.returncode == ExitStatus.USAGE
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert words in done.stderr.decode()


def test_unknown_backend_is_one_line() -> None:
    done = run("demo", "--url", "nowhere://host")
    assert done.returncode == ExitStatus.USAGE
    assert done.stderr.count(b"\n") == 1


def test_terminal_shows_bars() -> None:
    with Terminal("demo") as terminal:
        assert terminal.wait() == 0
        assert "█" in terminal.shown
        assert COLOURS.search(terminal.shown)
        assert terminal.shown.count(HIDE_CURSOR) == terminal.shown.count(SHOW_CURSOR) == 1
        assert terminal.shown.count("has read the file exactly") == 2


def test_no_color_is_honoured() -> None:
    with Terminal("demo", NO_COLOR="1") as terminal:
        assert "█" in terminal.read_until("cut at offset")
        assert not COLOURS.search(terminal.shown)


def test_dumb_terminal_gets_lines() -> None:
    with Terminal("demo", TERM="dumb") as terminal:
        assert terminal.wait() == 0
        assert ESCAPE not in terminal.shown


def test_narrow_terminal_is_not_overrun(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    path.write_text("宽 e\u0301 \t" * 100, encoding="utf-8")
    with Terminal("demo", str(path), columns=40) as terminal:
        picture = terminal.read_until("cut at").rpartition(ESCAPE)[0]
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", picture).splitlines()
        assert max(map(len, lines)) < 40


def test_interrupt_restores_the_terminal() -> None:
    with Terminal("demo") as terminal:
        terminal.read_until("cut at offset")
        terminal.interrupt()
        assert terminal.wait() == ExitStatus.INTERRUPTED
        assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
        assert "Traceback" not in terminal.shown


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_signal_ends_it_quietly(number: signal.Signals, status: int) -> None:
    with start("demo") as program:
        assert program.stdout
        program.stdout.readline()
        program.send_signal(number)
        _, errors = program.communicate(timeout=PATIENCE)
        assert (program.returncode, errors) == (status, b"")


def test_broken_pipe_is_quiet() -> None:
    with start("demo") as program:
        assert program.stdout
        assert program.stderr
        program.stdout.readline()
        program.stdout.close()
        assert program.wait(PATIENCE) == ExitStatus.BROKEN_PIPE
        assert program.stderr.read() == b""
