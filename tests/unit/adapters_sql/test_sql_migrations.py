from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from stem.adapters.sql.schema import HEAD, Schema
from stem.adapters.sql.stack import open_stack
from stem.adapters.sql.upgrade import MIGRATIONS
from stem.clock import SystemClock
from stem.errors import StoreVersionError
from stem.testing.contracts.samples import publish
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stem.ports.stack import Stack

    Open = Callable[..., Stack]

PROGRAM = """
import sys
from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock
stack = open_stack(sys.argv[1], namespace="stem", clock=SystemClock())
print("ready", flush=True)
sys.stdin.readline()
assert stack.queues.queues() == []
print("alembic" in sys.modules)
"""

DIES_HALF_WAY = """
import os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from stem.adapters.sql.stack import open_stack
from stem.clock import SystemClock

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *_):
    if "CREATE TABLE stem_dead_letter" in statement:
        os._exit(9)

open_stack(sys.argv[1], namespace="stem", clock=SystemClock()).queues.queues()
"""


def start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"sqlite:///{path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def objects(path: Path) -> dict[str, str]:
    """Return the statements that made a file's tables and indexes, by name, blanks made equal."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: re.sub(r"\s+", " ", sql).replace('"', "") for name, sql in rows}


def test_the_migrations_make_the_tables_that_the_code_knows(opened: Open, path: Path, tmp_path: Path) -> None:
    offered(opened(path).queues).queues()
    engine = create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    Schema("stem").metadata.create_all(engine)
    engine.dispose()

    migrated = objects(path)
    del migrated["stem_schema_version"]

    assert migrated == objects(tmp_path / "plain.db")


def test_the_revision_that_is_checked_is_the_last_one() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_processes_that_start_on_an_empty_file_at_once_all_find_tables(path: Path) -> None:
    processes = [start(path) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    outputs = [process.communicate(timeout=60) for process in processes]

    assert [
        (process.returncode, errors) for process, (_, errors) in zip(processes, outputs, strict=True)
    ] == [(0, "")] * 4


def test_alembic_is_not_imported_when_there_is_nothing_to_do(opened: Open, path: Path) -> None:
    offered(opened(path).queues).queues()

    output, errors = start(path).communicate("go\n", timeout=60)

    assert (output, errors) == ("ready\nFalse\n", "")


def test_a_process_killed_half_way_leaves_nothing(opened: Open, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIES_HALF_WAY, f"sqlite:///{path}"], check=False, timeout=60)
    assert done.returncode == 9
    assert objects(path) == {}

    publish(offered(opened(path).broker), "t")

    assert "stem_revoke" in objects(path)


def test_a_newer_schema_is_refused_and_left_alone(opened: Open, path: Path) -> None:
    stack = opened(path)
    publish(offered(stack.broker), "t")
    stack.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE stem_schema_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(StoreVersionError, match="9999") as caught:
        publish(offered(opened(path).broker), "u")

    assert HEAD in caught.value.reason
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM stem_message").fetchone() == (1,)


def test_namespaces_share_a_file_and_nothing_else(path: Path) -> None:
    stacks = [open_stack(f"sqlite:///{path}", namespace=name, clock=SystemClock()) for name in ("a", "b")]
    publish(offered(stacks[0].broker), "t")

    assert [offered(stack.queues).queues() for stack in stacks] == [["default"], []]
    for stack in stacks:
        stack.close()
