from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stem.testing.contracts.samples import publish
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.ports.stack import Stack

    Open = Callable[..., Stack]

HERE = Path(__file__).parent
PATIENCE_S = 90


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(HERE / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_four_processes_share_a_thousand_messages_and_none_twice(opened: Open, path: Path) -> None:
    names = [f"t{number:04}" for number in range(1000)]
    publish(offered(opened(path).broker), *names)
    workers = [start("claiming_process.py", f"sqlite:///{path}", size) for size in ("1", "7", "10", "50")]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()

    shares = [worker.communicate(timeout=PATIENCE_S) for worker in workers]

    assert [errors for _, errors in shares] == [""] * 4
    assert sorted(name for output, _ in shares for name in json.loads(output)) == names


def test_a_fork_takes_no_part_in_its_parents_connections(path: Path) -> None:
    process = start("forking_process.py", f"sqlite:///{path}")

    output, errors = process.communicate(timeout=PATIENCE_S)

    assert errors == ""
    assert output == "0 2 0\n"


def test_a_child_that_ends_does_not_damage_what_its_parent_is_writing(path: Path) -> None:
    process = start("forking_in_transaction.py", f"sqlite:///{path}")

    output, errors = process.communicate(timeout=PATIENCE_S)

    assert errors == ""
    assert output == "ok 600\n"
