"""Servers that refuse, are full, restart, fail over, or are no Redis that Stem can use."""

from __future__ import annotations

import logging
import signal
import subprocess
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from fleet import until
from redis import Redis
from redis_server import RedisServer, free_port, needs_binary

from stem.adapters.redis.stack import open_stack
from stem.clock import SystemClock
from stem.errors import (
    ConfigurationError,
    StoreCorruptError,
    StoreDeniedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from stem.ports.broker import Complete
from stem.testing.contracts.samples import OWNER, message, publication, publish, task_ids
from stem.testing.contracts.suite import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stem.ports.broker import Broker
    from stem.ports.stack import Stack

pytestmark = needs_binary

LEASE = timedelta(seconds=30)
SECRET = "s3cr3t"


@pytest.fixture
def opened() -> Iterator[Callable[[str], Stack]]:
    stacks: list[Stack] = []

    def open_(url: str) -> Stack:
        stacks.append(open_stack(url, namespace="stem", clock=SystemClock()))
        return stacks[-1]

    yield open_
    for stack in stacks:
        stack.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, 'save ""', "appendonly yes", "appendfsync always") as server:
        yield server.ready()


def broker_of(stack: Stack) -> Broker:
    return offered(stack.broker)


def refused(stack: Stack) -> StoreError:
    with pytest.raises(StoreError) as caught:
        broker_of(stack).publish([publication("t")])
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    return caught.value


def test_a_server_that_is_not_there(opened: Callable[[str], Stack]) -> None:
    error = refused(opened(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"))

    assert isinstance(error, StoreUnavailableError)
    assert "cannot be reached" in str(error)
    unknown = refused(opened("redis://no-such-host.invalid:6379/0"))
    assert "host name is not known" in str(unknown)


def test_wrong_and_missing_passwords(tmp_path: Path, opened: Callable[[str], Stack]) -> None:
    options = [f"requirepass {SECRET}", f"user limited on >{SECRET} ~other:* +@all"]
    with RedisServer(tmp_path, *options) as server:
        server.ready(password=SECRET)

        errors = [
            refused(opened(server.url(credentials=credentials)))
            for credentials in ("", ":wrong@", "nobody:wrong@", f"limited:{SECRET}@")
        ]
        publish(broker_of(opened(server.url(credentials=f":{SECRET}@"))), "t")
        publish(broker_of(opened(server.url("?prefix=other:", credentials=f"limited:{SECRET}@"))), "t")

    assert {type(error) for error in errors} == {StoreDeniedError}
    assert "wants a password" in str(errors[0])
    assert "refused the user name or the password" in str(errors[1])
    assert "lacks a right" in str(errors[3])


def test_a_database_that_does_not_exist(server: RedisServer, opened: Callable[[str], Stack]) -> None:
    assert "no database of this number" in str(refused(opened(server.url("/99"))))


def test_no_tls_where_tls_is_asked_for(server: RedisServer, opened: Callable[[str], Stack]) -> None:
    error = refused(opened(server.url(scheme="rediss")))

    assert "TLS" in str(error) or isinstance(error, StoreUnavailableError)


def test_tls(tmp_path: Path, opened: Callable[[str], Stack]) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                str(key),
                "-out",
                str(certificate),
            ),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    tls = [f"tls-port {port}", f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no"]
    with RedisServer(tmp_path, *tls, f"tls-ca-cert-file {certificate}") as server:
        server.ready()

        stack = opened(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
        publish(broker_of(stack), "t")
        source = broker_of(stack).source(owner=OWNER)
        rung = Thread(target=source.wait, args=(30.0,), daemon=True)
        assert task_ids(source.lease(["default"], limit=1, duration=LEASE)) == ["t"]
        rung.start()
        publish(broker_of(stack), "u")
        rung.join(10)
        other_name = refused(opened(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"))
        no_authority = refused(opened(f"rediss://localhost:{port}/0"))

        assert not rung.is_alive()
        assert all(
            "certificate" in str(error) and not error.transient for error in (other_name, no_authority)
        )


def test_a_full_server_says_so_and_can_be_emptied(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    broker = broker_of(opened(server.url()))
    publish(broker, "a", "b")
    source = broker.source(owner=OWNER)
    with Redis(port=server.port) as redis:
        redis.config_set("maxmemory", "1")

        with pytest.raises(StoreFullError, match="maxmemory"):
            broker.publish([publication("c")])
        leased = source.lease(["default"], limit=10, duration=LEASE)
        settled = source.settle([Complete(token=each.token) for each in leased])
        redis.config_set("maxmemory", "0")

    assert (task_ids(leased), settled) == (["a", "b"], [True, True])
    assert broker.publish([publication("c")]) == [True]


def test_a_key_of_another_type_is_told_and_no_message_lost(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    broker = broker_of(opened(server.url()))
    publish(broker, "t")
    source = broker.source(owner=OWNER)
    with Redis(port=server.port) as redis:
        for key in ("unacked", "unacked_index", "stem.leases:default"):
            redis.set(key, "not ours")
            with pytest.raises(StoreCorruptError, match="holds something else"):
                source.lease(["default"], limit=10, duration=LEASE)
            redis.delete(key)

    assert task_ids(source.lease(["default"], limit=10, duration=LEASE)) == ["t"]


def test_a_restart_loses_nothing_and_scripts_come_back(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    broker = broker_of(opened(server.url()))
    publish(broker, "a", "b")
    source = broker.source(owner=OWNER)
    (first,) = source.lease(["default"], limit=1, duration=LEASE)

    server.stop()
    with pytest.raises(StoreUnavailableError):
        source.lease(["default"], limit=1, duration=LEASE)
    server.start()
    server.ready()

    assert task_ids(source.lease(["default"], limit=1, duration=LEASE)) == ["b"]
    assert source.settle([Complete(token=first.token)]) == [True]
    with Redis(port=server.port) as redis:
        redis.script_flush()
    assert broker.publish([publication("c")]) == [True]


def test_a_stopped_server_is_not_waited_for_longer_than_the_timeout(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    broker = broker_of(opened(server.url("?timeout=300ms")))
    publish(broker, "t")
    process: Any = server._process
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError, match="in time"):
            broker.publish([publication("u")])
    finally:
        process.send_signal(signal.SIGCONT)

    until(lambda: broker.publish([publication("u")]) == [False], what="the late call took effect, once")


def test_a_lease_whose_reply_was_lost_is_given_again(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    stack = opened(server.url("?timeout=300ms"))
    broker = broker_of(stack)
    publish(broker, "a", "b", "c", "d")
    source = broker.source(owner=OWNER)
    assert task_ids(source.lease(["default"], limit=1, duration=LEASE)) == ["a"]
    process: Any = server._process
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError, match="in time"):
            source.lease(["default"], limit=3, duration=LEASE)
    finally:
        process.send_signal(signal.SIGCONT)
    until(lambda: offered(stack.queues).stats(["default"])[0].leased == 4, what="the late call took effect")

    (again,) = source.lease(["default"], limit=1, duration=LEASE)

    assert (task_ids([again]), again.deliveries) == (["b"], 1)
    assert offered(stack.queues).stats(["default"])[0].ready == 2, (
        "what is not asked for any more is given back"
    )
    rest = source.lease(["default"], limit=10, duration=LEASE)
    assert sorted(task_ids(rest)) == ["c", "d"]
    assert {each.deliveries for each in rest} == {1}


def test_a_replica_is_refused_until_it_is_the_primary(
    server: RedisServer, opened: Callable[[str], Stack]
) -> None:
    broker = broker_of(opened(server.url()))
    publish(broker, "t")
    with Redis(port=server.port) as redis:
        redis.replicaof("127.0.0.1", free_port())
        redis.config_set("replica-serve-stale-data", "yes")
        with pytest.raises(StoreUnavailableError, match="replica"):
            broker.publish([publication("u")])
        redis.replicaof("NO", "ONE")

    assert broker.publish([publication("u")]) == [True]


def test_a_sentinel_tells_where_the_server_is(
    server: RedisServer, tmp_path: Path, opened: Callable[[str], Stack]
) -> None:
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {server.port} 1\n")
    sentinel = subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        url = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/0?master=main"
        broker = broker_of(opened(url))

        def published() -> bool:
            try:
                return broker.publish([publication("t")]) == [True]
            except StoreUnavailableError:
                return False

        until(published, what="the sentinel answers", limit_s=10)
        wrong = refused(opened(url.replace("main", "other")))
    finally:
        sentinel.kill()
        sentinel.wait()

    with Redis(port=server.port) as redis:
        assert redis.llen("default") == 1
    assert isinstance(wrong, StoreUnavailableError)


def test_a_cluster_is_refused(tmp_path: Path, opened: Callable[[str], Stack]) -> None:
    with RedisServer(tmp_path, "cluster-enabled yes") as server:
        server.ready()

        assert "Redis Cluster" in str(refused(opened(server.url())))
    with pytest.raises(ConfigurationError, match="Cluster"):
        opened("redis://a:1,b:2/0")


def test_what_may_cost_messages_is_warned_of_once(
    tmp_path: Path, opened: Callable[[str], Stack], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with RedisServer(tmp_path, 'save ""', "maxmemory 100mb", "maxmemory-policy allkeys-lru") as server:
        broker = broker_of(opened(server.ready().url()))
        publish(broker, "t")
        publish(broker, "u")

    assert [record.message for record in caplog.records] == ["redis.evicts", "redis.not_persistent"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://host:99999/0", "expected host:port"),
        ("redis://host/one", "database number"),
        ("redis://host/0?prefx=a", "did you mean prefix"),
        ("redis://host/0?timeout=soon", "timeout: expected a duration"),
        ("redis://host/0?ssl_ca_certs=a", "rediss://"),
        ("redis://host/0?master=main", "only a sentinel://"),
        ("sentinel://host/0", "master: expected"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("redis://[::1/0", "brackets"),
        (f"redis://user:{SECRET}/more@host/0", "redis URL"),
    ],
)
def test_a_url_that_cannot_be_used(opened: Callable[[str], Stack], url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        opened(url)
    assert SECRET not in str(caught.value)


def test_replies_that_are_cut_off_lose_nothing(server: RedisServer, opened: Callable[[str], Stack]) -> None:
    names = [f"t{number:03}" for number in range(300)]
    stop = Event()
    kills = Thread(target=kill_clients, args=(server.port, stop), daemon=True)
    broker = broker_of(opened(server.url()))
    source = broker.source(owner=OWNER)
    kills.start()
    done: set[str] = set()
    for name in names:
        tried(lambda name=name: broker.publish([publication(name, content=message(name))]))
    while len(done) < len(names):
        batch = tried(lambda: source.lease(["default"], limit=7, duration=timedelta(seconds=2)))
        tried(lambda batch=batch: source.settle([Complete(token=each.token) for each in batch]))
        done |= set(task_ids(batch))
        if not batch:
            tried(lambda: broker.reclaim(limit=100, max_deliveries=1000))
    stop.set()
    kills.join(10)

    (stats,) = tried(lambda: offered(opened(server.url()).queues).stats(["default"]))
    assert done == set(names)
    assert (stats.ready, stats.leased) == (0, 0)


def kill_clients(port: int, stop: Event) -> None:
    with Redis(port=port) as redis:
        while not stop.wait(0.003):
            redis.client_kill_filter(_type="normal", skipme=True)


def tried(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except StoreUnavailableError:
            continue
