"""Every event that Stem logs, and every fact that events carry.

An event is logged as ``log.warning("lease.lost", extra={"task_id": …})``: a fixed name, facts
beside it. A test compares these tables with the source and with the reference page.
"""

from __future__ import annotations

from typing import Final

EVENTS: Final[dict[str, str]] = {
    "broker.failed": "The broker cannot be used at all; the worker stops.",
    "broker.reconnected": "The broker answers again.",
    "broker.unavailable": "The broker does not answer; the worker tries again.",
    "child.ended": "A child process has exited; what it ran is run again.",
    "child.stuck": "A child process takes no messages; it is killed.",
    "courier.failed": "The worker met an error in itself while it talked to the broker; it stops.",
    "delivery.dropped": "Messages were removed unrun: their tasks had ended, or run from another copy.",
    "lease.buried": "A message was delivered too often and lies in the dead letters.",
    "lease.lost": "The store says that leases are gone; their tasks are told to stop.",
    "lease.reclaimed": "A lease lapsed, its worker being dead or cut off; its message is ready again.",
    "listener.lost": "The connection that hears of new messages was lost; workers poll until it is back.",
    "message.buried": "A message that a Kombu consumer rejected or could not read lies in the dead letters.",
    "queue.classic": "A RabbitMQ queue is a classic one: it tells less of deliveries, and lies on one node.",
    "redis.evicts": "The Redis server deletes keys when its memory is full: messages can be lost.",
    "redis.not_persistent": "The Redis server keeps nothing on its disk: a restart loses what it holds.",
    "service.tick_failed": "A background service met an error; it goes on with its next round.",
    "settle.refused": "Outcomes came too late: their leases were gone, and nothing was stored.",
    "signal.dropped": "Receivers are too slow, signals were not sent; told of the first and of each 1,000th.",
    "signal.receiver_failed": "A receiver of a signal raised; it was passed over.",
    "store.pruned": "What has outlived its time was deleted.",
    "store.unavailable": "A store does not answer; the worker tries again.",
    "worker.id_taken": "Another live worker has this id.",
    "worker.no_goodbye": "The worker could not say goodbye; it looks alive until its heartbeat is old.",
    "worker.ready": "The worker takes tasks.",
    "worker.started": "The worker starts.",
    "worker.stopped": "The worker has stopped.",
}
"""What each event means, by its name."""

FACTS: Final[dict[str, str]] = {
    "attempt": "tries so far, this one included",
    "attempts": "tries that failed before",
    "child": "number of the child process within its worker",
    "count": "how many it concerns",
    "dead_letters": "dead letters deleted",
    "deliveries": "how often the attempt was delivered",
    "exit_code": "exit code of a process; minus the signal's number if a signal ended it",
    "owner": "worker that held the lease",
    "processed": "tasks that the worker has ended since it started",
    "queue": "queue of the message",
    "queues": "queues that the worker leases from",
    "reason": "what the server or the system said, without secrets",
    "receiver": "the receiver's name",
    "results": "task records deleted",
    "revokes": "revocations deleted",
    "server": "address, without password",
    "service": "name of the service",
    "signal": "name of the signal",
    "slots": "how many tasks the worker runs at once",
    "task": "name of the task",
    "task_id": "id of the task",
    "worker": "id of the worker",
}
"""What each fact means, by its name."""

_INTRODUCTION: Final = """\
# Log events

Stem logs by Python's `logging`, under loggers whose names begin with `stem.`. The message of a record is the
name of an event, never a sentence; what it is about are fields of the record. `stem worker` prints one line
for each:

```text
2026-01-31T12:00:00.250Z warning lease.reclaimed task_id=1f23c6a1 task=mail.send queue=default deliveries=1
```

Arguments, results and passwords are not logged. What looks like a secret is shown as `***`.
"""


def render() -> str:
    """Return the reference page, in Markdown."""
    events = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items())
    facts = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in FACTS.items())
    return f"""\
{_INTRODUCTION}
| event | meaning |
|---|---|
{events}

## Fields

| field | meaning |
|---|---|
{facts}
"""
