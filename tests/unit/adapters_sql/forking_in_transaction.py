"""Started by test_sql_processes: forks while another thread writes, and ends the child in an ordinary way."""

from __future__ import annotations

import os
import sys
from threading import Event, Thread

from sqlalchemy import insert

from stem.adapters.sql.database import Database
from stem.adapters.sql.location import read_location
from stem.adapters.sql.sqlite import SqliteDialect
from stem.clock import SystemClock

ROWS = 300


def main(url: str) -> None:
    location = read_location(url, namespace="stem")
    database = Database(SqliteDialect(location, clock=SystemClock()), namespace="stem")
    writing, forked = Event(), Event()
    writer = Thread(target=write, args=(database, writing, forked))
    writer.start()
    assert writing.wait(30)

    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    forked.set()
    writer.join(30)

    with database.read("check") as transaction:
        (verdict,) = transaction.connection.exec_driver_sql("PRAGMA integrity_check").scalars()
        count = transaction.connection.exec_driver_sql("SELECT count(*) FROM stem_revoke").scalar()
    database.close()
    print(verdict, count, flush=True)


def write(database: Database, writing: Event, forked: Event) -> None:
    table = database.schema.revoke
    row = {"reason": "x" * 3000, "terminate": False, "revoked_us": 0, "expires_us": 0, "actor": ""}
    with database.write("write") as transaction:
        # More than the page cache holds, so that a part of it is in the file's log already.
        transaction.connection.exec_driver_sql("PRAGMA cache_size=5")
        transaction.connection.execute(insert(table), [{**row, "task_id": f"a{n}"} for n in range(ROWS)])
        writing.set()
        assert forked.wait(30)
        transaction.connection.execute(insert(table), [{**row, "task_id": f"b{n}"} for n in range(ROWS)])


if __name__ == "__main__":
    main(*sys.argv[1:])
