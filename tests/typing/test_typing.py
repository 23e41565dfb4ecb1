"""What type checkers tell an application that uses Stem as it is installed, in their strictest mode."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent

Errors = dict[int, str]
Checker = Callable[[Path], Errors]


def mypy(path: Path) -> Errors:
    """Return mypy's errors by line."""
    output = run(
        path.parent, "mypy", "--strict", "--config-file=", "--output=json", "--no-error-summary", path.name
    )
    found = map(json.loads, output.splitlines())
    return {error["line"]: error["message"] for error in found if error["severity"] == "error"}


def pyright(path: Path) -> Errors:
    """Return pyright's errors by line."""
    (path.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    output = run(path.parent, "pyright", "--outputjson", f"--pythonpath={sys.executable}", path.name)
    found = json.loads(output)["generalDiagnostics"]
    return {
        error["range"]["start"]["line"] + 1: error["message"]
        for error in found
        if error["severity"] == "error"
    }


def run(directory: Path, module: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    ).stdout


checkers = pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])


@checkers
def test_correct_code_is_accepted_with_its_exact_types(check: Checker, tmp_path: Path) -> None:
    path = Path(shutil.copy(HERE / "accepted.py", tmp_path))

    assert check(path) == {}


@checkers
def test_wrong_code_is_rejected_where_it_is_wrong(check: Checker, tmp_path: Path) -> None:
    path = Path(shutil.copy(HERE / "rejected.py", tmp_path))
    lines = path.read_text(encoding="utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if line.endswith("# error")]

    found = check(path)

    assert sorted(found) == marked, found
