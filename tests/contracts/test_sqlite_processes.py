from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.testing.contracts.samples import publication

SCRIPT = Path(__file__).with_name("leasing_process.py")
PATIENCE_S = 60


def start(url: str, owner: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), url, owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_lease_from_one_file_never_get_the_same_message(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'stem.db'}"
    names = [f"t{number:03}" for number in range(600)]
    stack = open_stack(url, namespace="stem", clock=SystemClock())
    assert stack.broker is not None
    assert stack.queues is not None
    stack.broker.publish([publication(name, recorded=False) for name in names])

    workers = [start(url, f"worker@{number}") for number in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [worker.communicate(timeout=PATIENCE_S) for worker in workers]

    assert [(worker.returncode, errors) for worker, (_, errors) in zip(workers, shares, strict=True)] == [
        (0, "")
    ] * 3
    had = [name for output, _ in shares for name in json.loads(output)]
    assert sorted(had) == names
    assert sum(output != "[]\n" for output, _ in shares) >= 2, "one process alone proves nothing"
    (left,) = stack.queues.stats(["default"])
    assert (left.ready, left.leased, left.dead) == (0, 0, 0)
    stack.close()
