"""Started by test_sql_processes: leases and completes all it can get, and tells which messages it had."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.ports.broker import Complete
from stem.testing.contracts.samples import task_ids
from stem.testing.contracts.suite import offered


def main(url: str, batch_size: str) -> None:
    stack = open_stack(url, namespace="stem", clock=SystemClock())
    source = offered(stack.broker).source(owner="worker@one")
    print("ready", flush=True)
    sys.stdin.readline()
    had: list[str] = []
    while batch := source.lease(["default"], limit=int(batch_size), duration=timedelta(minutes=5)):
        had += task_ids(batch)
        assert all(source.settle([Complete(token=each.token) for each in batch]))
    stack.close()
    print(json.dumps(had), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
