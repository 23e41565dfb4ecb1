"""The fault proxy, between a client and an echo server."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from stem.testing import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 20.0


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with socket.create_server(("127.0.0.1", 0)) as server, FaultProxy(*server.getsockname()) as proxy:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        yield proxy


def echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1000):
                connection.sendall(data)
        except OSError:
            return


def client(proxy: FaultProxy, *, timeout_s: float = LIMIT_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def asked(connection: socket.socket, question: bytes) -> bytes:
    connection.sendall(question)
    return connection.recv(1000)


def test_it_forwards_in_both_directions(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        assert asked(connection, b"two") == b"two"


def test_only_the_reply_with_the_marker_is_cut(proxy: FaultProxy) -> None:
    proxy.cut_reply(b"bad")

    with client(proxy) as connection:
        assert asked(connection, b"good") == b"good"
        with pytest.raises(ConnectionError):
            asked(connection, b"bad")
    with client(proxy) as connection:
        assert asked(connection, b"bad") == b"bad"
    assert proxy.cuts == 1


def test_a_reset_ends_connections_and_lets_new_ones_in(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        proxy.reset()
        with pytest.raises(ConnectionError):
            connection.recv(1000)
    with client(proxy) as connection:
        assert asked(connection, b"two") == b"two"


def test_while_it_refuses_no_connection_lives(proxy: FaultProxy) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionError), client(proxy) as connection:
        connection.recv(1000)
    proxy.heal()
    with client(proxy) as connection:
        assert asked(connection, b"two") == b"two"


def test_a_black_hole_keeps_what_was_sent_for_later(proxy: FaultProxy) -> None:
    with client(proxy, timeout_s=0.2) as connection:
        proxy.black_hole()
        with pytest.raises(TimeoutError):
            asked(connection, b"one")
        proxy.heal()
        connection.settimeout(LIMIT_S)
        assert connection.recv(1000) == b"one"


def test_a_delay_holds_each_chunk(proxy: FaultProxy) -> None:
    proxy.delay(0.3)

    with client(proxy, timeout_s=0.2) as connection:
        with pytest.raises(TimeoutError):
            asked(connection, b"one")
        connection.settimeout(LIMIT_S)
        assert connection.recv(1000) == b"one"
