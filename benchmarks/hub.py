"""What a no-op task costs in the hub process, on SQLite, with results stored.

    python benchmarks/hub.py [--tasks 10000] [--children 2] [--json]

Publishes the tasks first, then starts a worker and measures the CPU time of
its hub from ready to empty: leasing, dispatching, settling with the result,
heartbeats, everything but the children. Rates depend on the machine and on
what else it does; compare ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
LIMIT_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stem-benchmark-") as directory:
        figures = measure(Path(directory), tasks=options.tasks, children=options.children)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:>12,.1f}")


def measure(directory: Path, *, tasks: int, children: int) -> dict[str, float]:
    os.environ["STEM_BROKER_URL"] = f"sqlite:///{directory / 'stem.db'}"
    sys.path.insert(0, str(HERE))
    from hub_app import add, app

    began_s, cpu_s = time.perf_counter(), time.process_time()
    for number in range(tasks):
        add.delay(number, 1)
    published_s, publish_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    log = directory / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "stem", "-A", "hub_app:app", "worker", "-c", str(children)],
            cwd=HERE,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: b"worker.ready" in log.read_bytes())
        hub = psutil.Process(worker.pid)
        before, drain_s = hub.cpu_times(), time.perf_counter()
        done = tasks - left(app)
        wait_for(lambda: left(app) == 0)
        drained_s, after = time.perf_counter() - drain_s, hub.cpu_times()
    finally:
        worker.terminate()
        worker.wait(60)
    app.close()
    measured = tasks - done
    user_s, system_s = after.user - before.user, after.system - before.system
    return {
        "tasks": tasks,
        "publish, per second": tasks / published_s,
        "publish, CPU us per task": publish_cpu_s / tasks * 1e6,
        "drain, per second": measured / drained_s,
        "hub, CPU us per task": (user_s + system_s) / measured * 1e6,
        "hub, of that in the kernel": system_s / measured * 1e6,
    }


def left(app) -> int:
    (stats,) = app.queues.stats(["default"])
    return stats.ready + stats.leased


def wait_for(condition) -> None:
    pause, deadline_s = threading.Event(), time.perf_counter() + LIMIT_S
    while not condition():
        if time.perf_counter() > deadline_s:
            raise SystemExit("the worker takes too long; its log is not kept")
        pause.wait(0.05)


if __name__ == "__main__":
    main()
