"""Started by test_sqlite_processes: leases and completes all it can get, and tells which tasks it had."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.message import Message
from stem.ports.broker import Complete


def main(url: str, owner: str) -> None:
    stack = open_stack(url, namespace="stem", clock=SystemClock())
    assert stack.broker is not None
    source = stack.broker.source(owner=owner)
    print("ready", flush=True)
    sys.stdin.readline()
    had: list[str] = []
    while batch := source.lease(["default"], limit=5, duration=timedelta(minutes=5)):
        had += [each.content.headers["id"] for each in batch if isinstance(each.content, Message)]
        assert all(source.settle([Complete(token=each.token) for each in batch]))
    stack.close()
    print(json.dumps(had), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
