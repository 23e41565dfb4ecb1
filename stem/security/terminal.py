"""Keep text from elsewhere from steering a terminal or forging a line."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return ``text`` with every character that is not printable spelled out, such as ``\n`` or ``\x1b``.

    Among them are control characters, line ends, and marks that change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
