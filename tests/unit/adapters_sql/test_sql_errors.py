"""What goes wrong with a file, for real, and what the caller is told."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from stem.errors import StoreCorruptError, StoreDeniedError, StoreError, StoreFullError, StoreUnavailableError
from stem.testing.contracts.samples import lease, publication, publish
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stem.ports.broker import Broker
    from stem.ports.stack import Stack

    Open = Callable[..., Stack]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


@pytest.fixture
def broker(opened: Open, path: Path) -> Broker:
    return offered(opened(path, "?busy_timeout=50ms").broker)


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def told(error: StoreError, path: Path, operation: str) -> str:
    """Check what every error must tell, and return its reason."""
    assert error.operation == operation
    assert str(path) in error.server
    assert str(path) in error.remedy
    text = str(error)
    assert "\n" not in text
    assert not any(word in text.upper() for word in ("INSERT", "SELECT", "UPDATE", "TRACEBACK", "HUSH"))
    return error.reason


def test_a_locked_file_is_told_after_the_busy_timeout(broker: Broker, path: Path) -> None:
    publish(broker, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailableError) as caught:
            publish(broker, "hush")

        other.execute("ROLLBACK")
    assert caught.value.transient
    assert "SQLITE_BUSY" in told(caught.value, path, "publish")
    assert broker.publish([publication("hush")]) == [True]


def test_a_file_of_another_kind_is_left_as_it_is(broker: Broker, path: Path) -> None:
    text = "A letter, not a database.\n" * 100
    path.write_text(text)

    with pytest.raises(StoreCorruptError) as caught:
        publish(broker, "hush")

    assert not caught.value.transient
    assert "not an SQLite database" in told(caught.value, path, "publish")
    assert path.read_text() == text


def test_a_damaged_file_is_told_apart(broker: Broker, opened: Open, path: Path) -> None:
    publish(broker, *(f"t{number}" for number in range(200)))
    broker.close()
    page = 4096
    with path.open("r+b") as file:
        file.seek(page)
        file.write(os.urandom(path.stat().st_size - page))

    with pytest.raises(StoreCorruptError) as caught:
        publish(offered(opened(path).broker), "hush")

    assert "SQLITE_CORRUPT" in told(caught.value, path, "publish")


def test_a_truncated_file_is_damaged(broker: Broker, opened: Open, path: Path) -> None:
    publish(broker, *(f"t{number}" for number in range(200)))
    broker.close()
    os.truncate(path, 4096)

    with pytest.raises(StoreCorruptError) as caught:
        publish(offered(opened(path).broker), "hush")

    told(caught.value, path, "publish")


def test_a_missing_directory_is_told_with_what_to_do(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "stem.db"

    with pytest.raises(StoreDeniedError) as caught:
        publish(offered(opened(path).broker), "hush")

    assert "cannot be opened" in told(caught.value, path, "publish")
    assert "directory" in caught.value.remedy


def test_a_directory_is_no_database(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreDeniedError) as caught:
        publish(offered(opened(tmp_path).broker), "hush")

    told(caught.value, tmp_path, "publish")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file; see the read-only file system")
def test_what_may_not_be_written_is_denied(broker: Broker, opened: Open, path: Path) -> None:
    publish(broker, "a")
    broker.close()
    path.chmod(0o444)

    with pytest.raises(StoreDeniedError) as caught:
        publish(offered(opened(path).broker), "hush")

    assert "may not be written" in told(caught.value, path, "publish")


@needs_root
def test_a_read_only_file_system_is_denied(broker: Broker, opened: Open, path: Path, tmp_path: Path) -> None:
    publish(broker, "a")
    broker.close()
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(path, disk / "stem.db")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        stack = opened(disk / "stem.db")

        with pytest.raises(StoreDeniedError) as caught:
            publish(offered(stack.broker), "hush")

        told(caught.value, disk / "stem.db", "publish")
        stack.close()


@needs_root
def test_a_full_disk_refuses_and_loses_nothing(opened: Open, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        stack = opened(disk / "stem.db")
        broker, queues = offered(stack.broker), offered(stack.queues)
        published: list[str] = []

        with pytest.raises(StoreFullError) as caught:
            fill(broker, published)

        assert caught.value.transient
        told(caught.value, disk / "stem.db", "publish")
        (stats,) = queues.stats(["default"])
        assert stats.ready == len(published)
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        assert broker.publish([publication("later")]) == [True]
        source = broker.source(owner="worker@one")
        assert len(lease(source, limit=10_000)) == len(published) + 1
        stack.close()


def fill(broker: Broker, published: list[str]) -> None:
    """Publish for ever, and note what was taken."""
    while True:
        name = f"hush{len(published)}"
        assert broker.publish([publication(name)]) == [True]
        published.append(name)


@needs_root
@pytest.mark.parametrize("left_bytes", [0, 4096, 20_480, 36_864, 102_400])
def test_a_disk_without_room_for_the_tables_is_full(opened: Open, tmp_path: Path, left_bytes: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        (disk / "ballast").write_bytes(b"x" * ((1 << 20) - left_bytes))
        stack = opened(disk / "stem.db")
        broker = offered(stack.broker)

        with pytest.raises(StoreFullError) as caught:
            publish(broker, "hush")

        told(caught.value, disk / "stem.db", "publish")
        (disk / "ballast").unlink()
        assert broker.publish([publication("hush")]) == [True]
        stack.close()


def test_a_file_that_was_deleted_is_made_anew(opened: Open, path: Path) -> None:
    stack = opened(path)
    broker = offered(stack.broker)
    source = broker.source(owner="worker@one")
    publish(broker, "a")
    assert len(lease(source)) == 1

    for file in path.parent.iterdir():
        file.unlink()

    publish(broker, "b")
    assert [each.queue for each in lease(source)] == ["default"]
    assert path.exists()
