"""What each broker adapter can carry, side by side with kombu's own path where it has one.

    python benchmarks/transports.py [redis …] [--messages 10000] [--json]

Everything is measured in one run, in one process, on the server that the environment names
(``STEM_TEST_REDIS_URL``, else redis://127.0.0.1:6379/9), under a prefix that is removed again. Rates
depend on the machine and on what else it does; compare ratios of one run. CPU times are this
process's, the server's beside them where it tells.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stem.clock import SystemClock
from stem.codecs import encode, pack
from stem.message import Arguments, Envelope
from stem.ports.broker import Complete, Publication
from stem.ports.results import Ending, NewTask
from stem.states import TaskState

BATCH = 50
QUEUE = "benchmark"
LEASE = timedelta(minutes=5)
TTL = timedelta(minutes=10)
BELLS = 200
IDLE_S = 5.0


@dataclass
class Figures:
    """What was measured, by what it is; the unit is part of the name."""

    values: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def rate(self, name, count, server_cpu=None):
        """Measure the code inside, which handles ``count`` messages."""
        began_s, cpu_s, server_s = time.perf_counter(), time.process_time(), server_cpu and server_cpu()
        yield
        self.values[f"{name}, per second"] = count / (time.perf_counter() - began_s)
        self.values[f"{name}, CPU us each"] = (time.process_time() - cpu_s) / count * 1e6
        if server_cpu:
            self.values[f"{name}, server's CPU us each"] = (server_cpu() - server_s) / count * 1e6


def publications(count, *, recorded):
    """Return tasks as Celery would publish them: three arguments, and one by name."""
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        task_id = str(uuid.uuid4())
        envelope = Envelope(id=task_id, name="benchmark.task", queue=QUEUE, sent_at=now)
        message = encode(envelope, Arguments(args=(number, 2, 3), kwargs={"text": "x" * 50}))
        record = NewTask(id=task_id, name=envelope.name, queue=QUEUE, sent_at=now, ttl=TTL)
        made.append(Publication(message=message, queue=QUEUE, task=record if recorded else None))
    return made


def publish_all(broker, batch):
    for first in range(0, len(batch), 500):
        assert all(broker.publish(batch[first : first + 500]))


def drain(source, *, recorded):
    """Lease and settle whatever is there; return how much it was."""
    count = 0
    while deliveries := source.lease([QUEUE], limit=BATCH, duration=LEASE):
        now = datetime.now(UTC)
        settlements = [
            Complete(token=each.token, ending=ending(each, now) if recorded else None) for each in deliveries
        ]
        assert all(source.settle(settlements))
        count += len(deliveries)
    return count


def ending(delivery, now):
    return Ending(
        task_id=delivery.content.headers["id"],
        state=TaskState.SUCCEEDED,
        token=delivery.token,
        fence=delivery.fence,
        attempt=1,
        deliveries=delivery.deliveries,
        worker="benchmark@host",
        queue=QUEUE,
        name="benchmark.task",
        finished_at=now,
        started_at=now,
        runtime_s=0.001,
        ttl=TTL,
        result='{"answer":42}',
    )


def measure_stem(figures, stack, count, server_cpu=None):
    """Measure what every adapter has: publishing, leasing and settling, waiting."""
    for recorded in (False, True):
        told = "with records" if recorded else "without records"
        single, batch = publications(1000, recorded=recorded), publications(count - 1000, recorded=recorded)
        with figures.rate(f"publish one by one, {told}", len(single), server_cpu):
            for each in single:
                stack.broker.publish([each])
        with figures.rate(f"publish by 500, {told}", len(batch), server_cpu):
            publish_all(stack.broker, batch)
        source = stack.broker.source(owner="benchmark@host")
        with figures.rate(f"lease + settle by {BATCH}, {told}", count, server_cpu):
            assert drain(source, recorded=recorded) == count
        source.close()
    measure_waiting(figures, stack)


def measure_waiting(figures, stack):
    source = stack.broker.source(owner="benchmark@host")
    source.lease([QUEUE], limit=1, duration=LEASE)
    source.wait(0.1)
    before_s = time.process_time()
    source.wait(IDLE_S)
    figures.values["idle wait, percent of a core"] = (time.process_time() - before_s) / IDLE_S * 100
    late_ms = [bell(stack, source, each) for each in publications(BELLS, recorded=False)]
    figures.values["idle wake-up until leased, p50 ms"] = statistics.median(late_ms)
    figures.values["idle wake-up until leased, p95 ms"] = sorted(late_ms)[int(BELLS * 0.95)]
    source.close()


def bell(stack, source, publication):
    """Return how long after its publishing began a message was leased by a source that was waiting."""
    began = []

    def publish():
        began.append(time.perf_counter())
        stack.broker.publish([publication])

    timer = threading.Timer(0.01, publish)
    timer.start()
    while not (leased := source.lease([QUEUE], limit=1, duration=LEASE)):
        source.wait(5)
    late_ms = (time.perf_counter() - began[0]) * 1e3
    timer.join()
    source.settle([Complete(token=each.token) for each in leased])
    return late_ms


def redis(count):
    from redis import Redis

    from stem.adapters.redis.stack import open_stack

    server = os.environ.get("STEM_TEST_REDIS_URL", "redis://127.0.0.1:6379/9").partition("?")[0]
    prefix = f"stem-benchmark-{uuid.uuid4().hex[:12]}:"
    client, figures = Redis.from_url(server), Figures()
    stack = open_stack(f"{server}?prefix={prefix}", namespace="stem", clock=SystemClock())

    def server_cpu():
        told = client.info("cpu")
        return told["used_cpu_user"] + told["used_cpu_sys"]

    try:
        compare_with_kombu(figures, stack, server, prefix, count)
        measure_stem(figures, stack, count, server_cpu)
    finally:
        stack.close()
        keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
        for first in range(0, len(keys), 500):
            client.unlink(*keys[first : first + 500])
        client.close()
    return figures.values


def compare_with_kombu(figures, stack, server, prefix, count):
    """Let both consume the same messages in turns, so that both meet the same machine."""
    from redis import Redis

    texts = [pack(each.message, queue=QUEUE) for each in publications(count, recorded=False)]
    source, turns = stack.broker.source(owner="benchmark@host"), 4
    mine_s = theirs_s = 0.0
    with Redis.from_url(server) as client:
        for turn in range(turns):
            share = texts[turn::turns]
            client.lpush(f"{prefix}{QUEUE}", *share)
            began_s = time.perf_counter()
            consume_by_kombu(server, prefix, len(share))
            theirs_s += time.perf_counter() - began_s
            client.lpush(f"{prefix}{QUEUE}", *share)
            began_s = time.perf_counter()
            assert drain(source, recorded=False) == len(share)
            mine_s += time.perf_counter() - began_s
    source.close()
    figures.values["kombu: consume + ack, per second"] = count / theirs_s
    figures.values[f"stem: lease + settle by {BATCH}, the same messages, per second"] = count / mine_s
    figures.values["stem : kombu"] = theirs_s / mine_s


def consume_by_kombu(server, prefix, count):
    from kombu import Connection, Consumer, Queue

    done = []

    def take(body, message):
        message.ack()
        done.append(1)

    queue = Queue(QUEUE, routing_key=QUEUE, no_declare=True)
    with (
        Connection(server, transport_options={"global_keyprefix": prefix}) as connection,
        connection.channel() as channel,
        Consumer(channel, [queue], callbacks=[take], accept=["json"], prefetch_count=100),
    ):
        while len(done) < count:
            connection.drain_events(timeout=10)


CELLS = {"redis": redis}
"""One function per broker; each returns its figures by name and leaves nothing behind."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("brokers", nargs="*", choices=[[], *CELLS], default=[], help="all unless named")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {name: CELLS[name](options.messages) for name in options.brokers or CELLS}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, values in figures.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:64} {value:>12,.2f}")


if __name__ == "__main__":
    main()
