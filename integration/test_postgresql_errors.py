"""What goes wrong on a PostgreSQL server is told in one line, with what to do about it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from postgresql_place import PostgresqlPlace

from stem.adapters.sql import postgresql_errors
from stem.adapters.sql.postgresql_stack import open_stack
from stem.clock import SystemClock
from stem.errors import (
    ConfigurationError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from stem.testing.contracts.samples import LEASE, QUEUE, lease, publication, publish
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stem.ports.stack import Stack

    Open = Callable[..., Stack]


@pytest.fixture(scope="module")
def place() -> Iterator[PostgresqlPlace]:
    place = PostgresqlPlace()
    yield place
    place.drop()


@pytest.fixture
def opened(place: PostgresqlPlace) -> Iterator[Open]:
    place.empty()
    stacks: list[Stack] = []

    def open_one(url: str | None = None) -> Stack:
        stacks.append(open_stack(url or place.url, namespace="stem", clock=SystemClock()))
        return stacks[-1]

    yield open_one
    for stack in stacks:
        stack.close()


def changed(place: PostgresqlPlace, **parts: str) -> str:
    return urlunsplit(urlsplit(place.url)._replace(**parts))


def told(stack: Stack, kind: type[StoreError]) -> str:
    with pytest.raises(kind) as caught:
        publish(offered(stack.broker), "t")
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.remedy
    return text


def test_an_unreachable_server(place: PostgresqlPlace, opened: Open) -> None:
    url = changed(place, netloc="me:secret@127.0.0.1:1")

    text = told(opened(url), StoreUnavailableError)

    assert "postgresql://me:***@127.0.0.1:1/" in text
    assert "cannot be reached" in text


def test_an_unknown_host(place: PostgresqlPlace, opened: Open) -> None:
    assert "name is unknown" in told(
        opened(changed(place, netloc="no-such-host.invalid")), StoreUnavailableError
    )


def test_an_unknown_database(place: PostgresqlPlace, opened: Open) -> None:
    assert "database does not exist" in told(
        opened(changed(place, path="/stem_no_such_database")), StoreDeniedError
    )


def test_a_user_without_rights(place: PostgresqlPlace, opened: Open) -> None:
    with place.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS stem_test_guest")
        connection.execute("CREATE ROLE stem_test_guest LOGIN PASSWORD 'secret'")
        try:
            publish(offered(opened().broker), "t")
            port = urlsplit(place.url).port or 5432
            guest = opened(changed(place, netloc=f"stem_test_guest:secret@127.0.0.1:{port}"))

            assert "lacks a right (42501)" in told(guest, StoreDeniedError)
        finally:
            connection.execute("DROP ROLE stem_test_guest")


def test_a_read_only_server(place: PostgresqlPlace, opened: Open) -> None:
    stack = opened()
    publish(offered(stack.broker), "before")
    with place.connect() as connection:
        connection.execute("ALTER DATABASE test SET default_transaction_read_only TO on")
        try:
            assert "takes no writes (25006)" in told(opened(), StoreUnavailableError)
        finally:
            connection.execute("SET default_transaction_read_only TO off")
            connection.execute("ALTER DATABASE test RESET default_transaction_read_only")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.DiskFull(), StoreFullError),
        (psycopg.errors.AdminShutdown(), StoreUnavailableError),
        (psycopg.errors.CannotConnectNow(), StoreUnavailableError),
        (psycopg.errors.TooManyConnections(), StoreUnavailableError),
        (psycopg.errors.InvalidPassword(), StoreDeniedError),
        (psycopg.OperationalError("password authentication failed for user"), StoreDeniedError),
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreUnavailableError),
    ],
)
def test_what_a_test_cannot_bring_about(error: psycopg.Error, kind: type[StoreError]) -> None:
    verdict, _ = postgresql_errors.judge(error)

    assert verdict.kind is kind
    assert verdict.remedy


def test_a_deadlock_is_tried_again(place: PostgresqlPlace, opened: Open) -> None:
    stack = opened()
    broker = offered(stack.broker)
    publish(broker, "a")
    publish(broker, "b")
    queues = offered(stack.queues)
    touch = "UPDATE stem_message SET task = task WHERE task_id = %s"
    done: list[set[str]] = []
    thread = threading.Thread(target=lambda: done.append(queues.cancel(["a", "b"], reason="x")))
    with place.connect() as connection:
        # Longer than the other side's, so that the server chooses that one.
        connection.execute("SET deadlock_timeout TO '60s'")
        with connection.transaction():
            connection.execute(touch, ["b"])
            thread.start()
            wait_for_a_lock(place)
            connection.execute(touch, ["a"])
    thread.join(30)

    assert done == [{"a", "b"}]


def wait_for_a_lock(place: PostgresqlPlace) -> None:
    pause = threading.Event()
    with place.connect() as connection:
        for _ in range(500):
            found = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
                [place.schema],
            ).fetchone()
            if found:
                return
            pause.wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_producer_does_not_notice_that_its_idle_connections_were_cut(
    place: PostgresqlPlace, opened: Open
) -> None:
    broker = offered(opened().broker)
    publish(broker, "a")

    assert place.terminate() >= 1

    assert broker.publish([publication("b")]) == [True]


def test_a_bell_wakes_who_waits(opened: Open) -> None:
    source = offered(opened().broker).source(owner="w")
    clock = SystemClock()
    assert source.lease([QUEUE], limit=1, duration=LEASE) == []
    source.wait(0.2)
    thread = threading.Timer(0.2, lambda: publish(offered(opened().broker), "t"))
    began_s = clock.monotonic()
    thread.start()

    while not (leased := lease(source)):
        source.wait(5.0)

    assert len(leased) == 1
    assert clock.monotonic() - began_s < 0.9, "heard, not found by looking once a second"
    thread.join()


def test_without_listening_there_is_polling(place: PostgresqlPlace, opened: Open) -> None:
    url = place.with_options(listen="off")
    source = offered(opened(url).broker).source(owner="w")
    thread = threading.Timer(0.2, lambda: publish(offered(opened(url).broker), "t"))
    thread.start()

    while not (leased := lease(source)):
        source.wait(5.0)

    assert len(leased) == 1
    thread.join()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://host", "name of a database"),
        ("postgresql://host:port/x", "port cannot be read"),
        ("postgresql://host/x?shema=a", "did you mean schema"),
        ("postgresql://host/x?schema=A-b", "schema: expected"),
        ("postgresql://host/x?listen=maybe", "listen: expected on or off"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        open_stack(url, namespace="stem", clock=SystemClock())
