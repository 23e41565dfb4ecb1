"""Started by test_sql_processes: forks while it uses a database, and uses it on both sides."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
from stem.ports.broker import Complete
from stem.testing.contracts.samples import publication
from stem.testing.contracts.suite import offered

LEASE = timedelta(minutes=1)


def main(url: str) -> None:
    stack = open_stack(url, namespace="stem", clock=SystemClock())
    broker = offered(stack.broker)
    source = broker.source(owner="parent@one")
    broker.publish([publication(f"before{number}") for number in range(10)])
    parents = source.lease(["default"], limit=5, duration=LEASE)

    child = os.fork()
    if child == 0:
        children = source.lease(["default"], limit=5, duration=LEASE)
        assert all(source.settle([Complete(token=each.token) for each in children]))
        broker.publish([publication("child")])
        source.close()
        stack.close()
        # Not os._exit: what the interpreter tidies up at its end must not touch the parent's connections.
        sys.exit(0)

    _, status = os.waitpid(child, 0)
    assert all(source.settle([Complete(token=each.token) for each in parents]))
    broker.publish([publication("parent")])
    (stats,) = offered(stack.queues).stats(["default"])
    stack.close()
    print(status, stats.ready, stats.leased, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
