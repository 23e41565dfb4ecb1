"""Run the ``stem`` command in a process that ends when whoever started it has ended.

The starter keeps the other end of standard input open. It closes when the
starter dies, however it dies, so that no worker is left behind.
"""

from __future__ import annotations

import os
import signal
import threading


def main() -> None:
    """Run ``stem`` with the arguments of this process."""
    from stem.cli.main import main as run

    threading.Thread(target=_end_with_starter, name="stem-attendance", daemon=True).start()
    run()


def _end_with_starter() -> None:
    # Not sys.stdin: a thread inside its lock would end the interpreter with a crash.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGQUIT)


if __name__ == "__main__":
    main()
