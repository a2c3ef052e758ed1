"""Hypothesis strategies for what a broken peer, an older one or an attacker may write."""

from __future__ import annotations

import json

from hypothesis import strategies as st

# Chunks full of separators, halves of surrogate pairs, and characters of several bytes.
AWKWARD = st.text(
    st.sampled_from("a\x1e\x1f\x1d\x1c\x1b\0\ud83d\ude00\u00e9\u4f60\U0001f600"), max_size=6
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)

_NAMES = (
    *("generation", "end", "status", "errorType", "errorMessage", "servedUntil", "unknown"),
    *("listenerId", "skipCharacters", "version", "type", "unit", "window", "sequence", "byte"),
    *("count", "size", "separator", "lengths", "partial", "last", "offset", "reason", "start"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# A JSON value, or text that some parser would accept as one.
VALUES = st.one_of(
    _JSON.map(json.dumps),
    st.sampled_from(
        [
            *("1e999", "-1e999", "NaN", "-Infinity", "-0", "-1", "7.0", "true", "null", '"7"'),
            *("0", "1", "2", "9007199254740991", "9007199254740992", "[0]", "[1,2]", "[-1,1]"),
            *('"\\ud800"', '"\\udc00\\ud800"', '"a\\u0000"', '"\ud83d"', '"' + "x" * 5000 + '"'),
            *('"completed"', '"failed"', '"cancelled"', '"lost"', '"superseded"', '"running"'),
            *('"\\u001e"', '"\\u001f"', '"\\u001d"', '"\\u001c"', '"\\u001b"', '"\\n"', '""'),
            *('"data"', '"end"', '"refusal"', '"trimmed"', '"read"', '"leave"', '"cancel"'),
        ]
    ),
    st.integers(1, 5000).map(lambda digits: "9" * digits),
    st.integers(1, 1500).map(_nested),
)
_FIELDS = st.lists(st.tuples(st.sampled_from(_NAMES), VALUES), max_size=6)

_OUTCOME = {"generation": "77", "end": "3", "status": '"failed"', "errorType": '"E"'}
_REQUEST = {"listenerId": '"peer"', "version": "2"}
_TEXT = {"count": "1", "size": "3"}
_DATA = {"type": '"data"', "generation": "77", "sequence": "0", "byte": "0", **_TEXT}
_END = {"type": '"end"', "generation": "77", "end": "3", "status": '"completed"'}
_REFUSAL = {"type": '"refusal"', "generation": "77", "reason": '"trimmed"', "start": "0"}


def _object(fields: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}"


def _changed(valid: dict[str, str]) -> st.SearchStrategy[str]:
    """Generate the object with fields that are added, or that occur twice with another value."""
    return _FIELDS.map(lambda fields: _object([*valid.items(), *fields]))


RECORDS = st.one_of(
    _changed(_OUTCOME),
    _changed({}),
    VALUES,
    TEXTS,
)
SENTINELS = st.one_of(
    st.sampled_from([None, "DONE", "", "1", "done", str(77 << 20), str((77 << 20) + 3)]),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(1, 6000).map(lambda digits: "9" * digits),
    TEXTS,
)
MESSAGES = st.one_of(
    st.binary(max_size=200),
    _changed(_REQUEST).map(lambda text: text.encode("utf-8", "surrogatepass")),
    _changed(_REQUEST).map(lambda text: text.encode("utf-16", "surrogatepass")),
    RECORDS.map(lambda text: text.encode("utf-8", "surrogatepass")),
)
# All bytes of a frame after its prefix.
FRAMES = st.one_of(
    st.binary(max_size=200),
    st.tuples(
        st.one_of(_changed(_DATA | {"end": "1"}), _changed(_END), _changed(_REFUSAL), RECORDS),
        st.sampled_from(
            [b"\nabc", b"\n", b"", b"\n\xff\xed\xa0\x80", b"abc", b"\na\x1eb", b"\n\x1f\xff"]
        ),
    ).map(lambda parts: parts[0].encode("utf-8", "surrogatepass") + parts[1]),
)
