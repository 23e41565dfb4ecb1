"""A RabbitMQ server to test on: a virtual host of its own where that can be made, else clean queues."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from amqp.exceptions import AMQPError
from kombu.transport.native_delayed_delivery import MAX_LEVEL, level_name

from stem.adapters.amqp.link import Link
from stem.adapters.amqp.location import read_location
from stem.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = os.environ.get("STEM_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
CLOCK = SystemClock()
DELAYED = [level_name(level) for level in range(MAX_LEVEL + 1)]


def ctl(*arguments: str) -> str:
    """Run ``rabbitmqctl``; skip the test where this user may not command the server."""
    program = commander()
    if program is None:
        pytest.skip("needs rabbitmqctl, and the right to use it")
    done = subprocess.run([program, "-q", *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"rabbitmqctl {arguments[0]}: {done.stderr or done.stdout}")
    return done.stdout


@cache
def commander() -> str | None:
    """Return the ``rabbitmqctl`` that reaches the server, or None.

    Debian's wrapper becomes another user, who does not know the cookie of a private server.
    """
    for name in ("rabbitmqctl", "/usr/lib/rabbitmq/bin/rabbitmqctl"):
        program = shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
        if program is not None:
            done = subprocess.run([program, "-q", "ping"], capture_output=True, timeout=60)
            if done.returncode == 0:
                return program
    return None


@contextmanager
def own_vhost() -> Iterator[str]:
    """Make a virtual host, give its URL, and delete it."""
    if commander() is None:
        yield URL
        return
    name = f"stem-test-{uuid.uuid4().hex[:8]}"
    split = urlsplit(URL)
    user = split.username or "guest"
    ctl(
        "eval",
        f'rabbit_vhost:add(<<"{name}">>, <<"stem">>), rabbit_auth_backend_internal:set_permissions('
        f'<<"{user}">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"stem">>).',
    )
    try:
        yield urlunsplit(split._replace(path=f"/{quote(name, safe='')}"))
    finally:
        ctl("delete_vhost", name)


def vhost_of(url: str) -> str:
    """Return the virtual host that a URL names."""
    return read_location(url, namespace="stem").vhost


def delete_queues(url: str, *names: str) -> None:
    """Delete queues, whatever they hold, and all messages that are held back."""
    link = Link(read_location(url, namespace="stem"), clock=CLOCK)
    try:
        with link.working("clean") as connection:
            channel = connection.channel()
            for name in (*names, *DELAYED):
                channel.queue_delete(name)
    finally:
        link.drop()


def declare_queue(url: str, name: str, **arguments: object) -> None:
    """Make a queue as somebody else would."""
    link = Link(read_location(url, namespace="stem"), clock=CLOCK)
    try:
        with link.working("declare") as connection:
            connection.channel().queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
    finally:
        link.drop()


def refuses(url: str, name: str, **arguments: object) -> bool:
    """Return whether the queue has other arguments than these."""
    link = Link(read_location(url, namespace="stem"), clock=CLOCK)
    try:
        with link.working("declare") as connection:
            try:
                connection.channel().queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
            except AMQPError:
                return True
            return False
    finally:
        link.drop()
