from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.cli.demo.words import (
    MAX_FILE_BYTES,
    Count,
    Totals,
    add_up,
    count,
    find_files,
    most_frequent,
    recount,
)
from stem.cli.exit_codes import CommandError, ExitCode


def write(directory: Path, name: str, content: str | bytes = "") -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_a_file_is_counted_by_lines_and_words(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "the cat and the\n  dog_2 == the end")

    counted = count(path)

    assert (counted.lines, counted.words) == (2, 8)
    assert counted.top == (("the", 3), ("cat", 1), ("and", 1), ("end", 1))


@pytest.mark.parametrize(
    ("content", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("\n", 1), ("\n\n", 2), ("a\r\nb", 2)]
)
def test_an_open_last_line_is_a_line(tmp_path: Path, content: str, lines: int) -> None:
    assert count(write(tmp_path, "a.txt", content)).lines == lines


@pytest.mark.parametrize(
    ("content", "reason"), [(b"caf\xe9", "not UTF-8"), (b" " * (MAX_FILE_BYTES + 1), "larger than 8 MiB")]
)
def test_what_cannot_be_counted_is_skipped_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = write(tmp_path, "a.txt", content)

    assert count(path) == Count(skipped=reason)
    assert recount([path]) == Totals(files=0, skipped=1, lines=0, words=0)


def test_a_file_that_is_gone_is_skipped(tmp_path: Path) -> None:
    assert count(str(tmp_path / "gone.txt")).skipped == "cannot be read"


@given(st.text())
def test_two_ways_of_counting_agree(content: str) -> None:
    with TemporaryDirectory() as directory:
        path = write(Path(directory), "a.txt", content)

        assert add_up([count(path)]) == recount([path])


@pytest.mark.parametrize("counted", [Count(lines=1, words=2, top=(("a", 2),)), Count(skipped="not UTF-8")])
def test_a_count_survives_the_wire(counted: Count) -> None:
    assert Count.from_json(counted.to_json()) == counted


def test_frequent_words_are_added_up_and_ties_are_sorted() -> None:
    counts = [Count(top=(("b", 2), ("a", 1))), Count(top=(("a", 1), ("c", 5)))]

    assert most_frequent(counts) == [("c", 5), ("a", 2), ("b", 2)]


def test_text_files_are_found_in_order_and_generated_ones_passed_over(tmp_path: Path) -> None:
    wanted = [write(tmp_path, name) for name in ("a.txt", "b.md", "sub/c.py")]
    for name in ("d.png", ".git/e.txt", "__pycache__/f.py", "node_modules/g.md"):
        write(tmp_path, name)
    os.mkfifo(tmp_path / "pipe.txt")

    found = find_files(tmp_path, limit=10)

    assert list(found.files) == wanted
    assert not found.more
    assert found.short(wanted[2]) == os.path.join("sub", "c.py")


def test_the_limit_is_kept_and_told(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(tmp_path, name)

    assert find_files(tmp_path, limit=3).more is False
    assert len(find_files(tmp_path, limit=2).files) == 2
    assert find_files(tmp_path, limit=2).more is True


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing", ExitCode.NOT_FOUND), ("file", ExitCode.USAGE), ("empty", ExitCode.NOT_FOUND)],
)
def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path, name: str, code: ExitCode) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(CommandError) as caught:
        find_files(tmp_path / name, limit=10)

    assert caught.value.code is code


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_directory_is_refused_and_a_forbidden_part_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    write(tmp_path, "closed/b.txt")
    (tmp_path / "closed").chmod(0)

    try:
        assert find_files(tmp_path, limit=10).unreadable == 1
        with pytest.raises(CommandError) as caught:
            find_files(tmp_path / "closed", limit=10)
    finally:
        (tmp_path / "closed").chmod(0o700)

    assert caught.value.code is ExitCode.DENIED
