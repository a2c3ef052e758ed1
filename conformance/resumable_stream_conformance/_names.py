"""Names and texts that have broken adapters, or could."""

from __future__ import annotations

# Each differs from every other, if only by case, encoding or normal form.
ODD_NAMES = (
    *("plain", "PLAIN", "Plain", " ", "  ", " plain", "plain ", "ss", "\u00df"),
    *("a", "a b", "a%20b", "a=20b", "a_b", "a-b", "a+b", "a/b", "a\\b", "a:b", "a.b"),
    *("*", "**", "*.*", ">", "a.*", "a.>", "a..b", ".", "..", "./..", "a.", ".a", ":", "::"),
    *("/", "\\", "?", "[ab]", "[a-z]*", "{a}", "{b}", "$", "$SYS.>", "_INBOX.>", "#", "&", "|"),
    *('"', "'", "`", ",", ";", "@", "~", "^", "!", "(", "<"),
    *("=", "==", "=3D", "=h", "=2A", "%", "%2A"),
    *("\n", "a\nb", "a\r\nb", "\r\nPING\r\n", "\t", "\0", "a\0b", "\x1b", "\x7f"),
    *("caf\u00e9", "cafe\u0301", "\u540d\u524d", "\u05e9\u05dc\u05d5\u05dd"),
    *("\U0001f600", "\u200b", "\ufeff", "None", "nil", "null", "0", "00", "-1"),
    *("l" * 512, "l" * 511 + "m", "l" * 900, "*" * 512, ">" * 512, "." * 512),
    *("\U0001f600" * 512, "\U0001f600" * 511 + "!"),
)

ODD_VALUES = (
    *("", " ", "0", "1", "-1", "None", "DONE", "\n", "a\r\nb", "\0", "\ufeff"),
    *("caf\u00e9", "cafe\u0301", "\U0001f600", '{"status": "completed"}'),
    *("x" * 65_536, "\U0001f600" * 8_192),
)
