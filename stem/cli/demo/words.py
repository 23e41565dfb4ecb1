"""Find text files and count their lines and words."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from stem.cli.exit_codes import CommandError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SUFFIXES: Final = (".py", ".pyi", ".txt", ".md", ".rst", ".toml", ".cfg", ".ini")
"""What the name of a text file ends with."""

MAX_FILE_BYTES: Final = 8 * 1024 * 1024
"""Larger files are skipped."""

TOP: Final = 10
"""How many of its most frequent words are kept of each file."""

_PASSED_OVER: Final = {"__pycache__", "dist-packages", "node_modules", "site-packages"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The text files under a directory.

    Attributes:
        root: The directory, absolute.
        files: Absolute paths, sorted by folder.
        more: Whether there are files beyond the limit.
        unreadable: How many of the directories could not be read.
    """

    root: str
    files: tuple[str, ...]
    more: bool = False
    unreadable: int = 0

    def short(self, path: str) -> str:
        """Return one of the paths as seen from the directory."""
        return os.path.relpath(path, self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a file holds; words are what stands between white space.

    Attributes:
        top: The most frequent words that are letters only, and how often each occurs.
        skipped: Why nothing was counted; "" when it was.
    """

    lines: int = 0
    words: int = 0
    top: tuple[tuple[str, int], ...] = ()
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.skipped:
            return {"skipped": self.skipped}
        return {"lines": self.lines, "words": self.words, "top": self.top}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Count:
        """Return the count that `to_json` turned into ``values``."""
        if "skipped" in values:
            return cls(skipped=values["skipped"])
        top = tuple((word, times) for word, times in values["top"])
        return cls(lines=values["lines"], words=values["words"], top=top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What several files hold together.

    Attributes:
        files: How many were counted.
        skipped: How many were not.
    """

    files: int
    skipped: int
    lines: int
    words: int


def find_files(directory: Path, *, limit: int) -> Found:
    """Return the text files under ``directory``, sorted; hidden and generated directories are passed over.

    Raises:
        CommandError: There is no such directory, it cannot be read, or no text file is in it.
    """
    _check(directory)
    root = os.path.abspath(directory)
    unreadable: list[OSError] = []
    files = list(islice(_walk(root, unreadable), limit + 1))
    if not files:
        raise CommandError(
            f"{directory}: no text file in it",
            hint=f"give a directory with files that end with {' '.join(SUFFIXES)}",
            code=ExitCode.NOT_FOUND,
        )
    return Found(root=root, files=tuple(files[:limit]), more=len(files) > limit, unreadable=len(unreadable))


def _check(directory: Path) -> None:
    hint = "give a directory of text files, or none for Python's standard library"
    try:
        os.scandir(directory).close()
    except FileNotFoundError:
        raise CommandError(f"{directory}: not found", hint=hint, code=ExitCode.NOT_FOUND) from None
    except NotADirectoryError:
        raise CommandError(f"{directory}: not a directory", hint=hint, code=ExitCode.USAGE) from None
    except OSError as error:
        raise CommandError(
            f"{directory}: cannot be read: {error.strerror}", hint=hint, code=ExitCode.DENIED
        ) from None


def _walk(root: str, unreadable: list[OSError]) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root, onerror=unreadable.append):
        subfolders[:] = sorted(
            name for name in subfolders if name not in _PASSED_OVER and not name.startswith(".")
        )
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(SUFFIXES) and os.path.isfile(path):
                yield path


def count(path: str) -> Count:
    """Return what the file holds, or why it is skipped; the work of one task."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            return Count(skipped=f"larger than {MAX_FILE_BYTES >> 20} MiB")
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return Count(skipped="not UTF-8")
    except OSError:
        return Count(skipped="cannot be read")
    words = text.split()
    frequent = Counter(word for word in words if word.isalpha()).most_common(TOP)
    return Count(
        lines=text.count("\n") + (text[-1:] not in {"", "\n"}), words=len(words), top=tuple(frequent)
    )


def recount(paths: Iterable[str]) -> Totals:
    """Read the files once more and add up what they hold; shares no code with `count`, to check it."""
    files = skipped = lines = words = 0
    for path in paths:
        try:
            if os.path.getsize(path) > MAX_FILE_BYTES:
                raise OSError("too large")
            with open(path, encoding="utf-8", newline="\n") as file:
                in_lines = [len(line.split()) for line in file]
        except (OSError, UnicodeDecodeError):
            skipped += 1
        else:
            files += 1
            lines += len(in_lines)
            words += sum(in_lines)
    return Totals(files=files, skipped=skipped, lines=lines, words=words)


def add_up(counts: Iterable[Count]) -> Totals:
    """Return what the tasks found together."""
    counted = list(counts)
    done = [one for one in counted if not one.skipped]
    return Totals(
        files=len(done),
        skipped=len(counted) - len(done),
        lines=sum(one.lines for one in done),
        words=sum(one.words for one in done),
    )


def most_frequent(counts: Iterable[Count]) -> list[tuple[str, int]]:
    """Return the ten words that are most frequent when each file's most frequent ones are added up."""
    total: Counter[str] = Counter()
    for one in counts:
        for word, times in one.top:
            total[word] += times
    # Ties in the order of the alphabet, so that two runs print the same.
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))[:TOP]
