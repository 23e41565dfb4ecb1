"""Waiting for results by the channels on which Celery's results are told, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stem.adapters.redis.values import plain
from stem.states import TERMINAL_STATES

if TYPE_CHECKING:
    from collections.abc import Collection

    from stem.adapters.redis.database import Database
    from stem.adapters.redis.link import Link
    from stem.clock import Clock

_SLICE_S: Final = 0.25
"""A wait looks at the clock this often: it may be one that a test moves."""

_ENDED: Final = {state.value.encode() for state in TERMINAL_STATES}


def wait_for_results(
    database: Database, clock: Clock, task_ids: Collection[str], *, timeout_s: float
) -> None:
    """Block until one of the tasks ends, or ``timeout_s`` pass; return at once if one has ended."""
    deadline_s = clock.monotonic() + timeout_s
    ids = sorted({plain(task_id) for task_id in task_ids})
    if not ids:
        return
    with database.link("wait") as link:
        if _has_ended(database, link, ids):
            return
        channels = [database.names.result(task_id) for task_id in ids]
        connection = link.connection
        _ask(link, "SUBSCRIBE", channels)
        try:
            # Looked at once more: what ended before the subscription was told to nobody.
            with database.link("wait") as other:
                ended = _has_ended(database, other, ids)
            while not ended and clock.monotonic() < deadline_s:
                ended = connection.can_read(timeout=min(deadline_s - clock.monotonic(), _SLICE_S))
            _ask(link, "UNSUBSCRIBE", channels)
        except BaseException:
            link.close()  # it may still be subscribed, and would read a push for a reply
            raise


def _has_ended(database: Database, link: Link, ids: Collection[str]) -> bool:
    states = link.run_all([("HGET", database.names.task(task_id), "state") for task_id in ids])
    return any(state in _ENDED for state in states)


def _ask(link: Link, verb: str, channels: list[str]) -> None:
    connection: Any = link.connection
    connection.send_command(verb, *channels, check_health=False)
    confirmed = 0
    while confirmed < len(channels):
        kind, *_ = connection.read_response()
        confirmed += kind == verb.lower().encode()
