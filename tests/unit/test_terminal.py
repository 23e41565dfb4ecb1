from __future__ import annotations

import pytest

from stem.security.terminal import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, täglich, 日本", "plain, täglich, 日本"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x07\x9b", r"\x07\x9b"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
    ],
)
def test_what_is_not_printable_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown
