"""What is written about tasks and messages, as the scripts read it: lists of texts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stem.adapters.redis.celery_results import write_meta
from stem.adapters.redis.values import micros, plain, span_us, told, write_due, write_error, write_json
from stem.codecs import pack, read_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stem.ports.broker import Bury, Publication
    from stem.ports.results import Ending, NewTask, RetryNote, Start

Write: TypeAlias = list[Any]

NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""For notes whose times the store itself fills in."""


_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 4 * 1024 * 1024
"""Of messages in one run of a script: it holds the server up for a few milliseconds."""


def batches(publications: Sequence[Write]) -> Iterator[list[Write]]:
    """Yield publications in batches that one run of a script can take, in order."""
    batch: list[Write] = []
    size = 0
    for each in publications:
        if batch and (len(batch) == _AT_ONCE or size > _BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each[4])
    if batch:
        yield batch


def publication(publication: Publication) -> Write:
    """Return a message that is to be published.

    Raises:
        NotEncodableError: A header or property has no JSON form.
    """
    return [
        plain(publication.queue),
        publication.priority,
        write_due(publication.due),
        plain(read_label(publication.message).task_id),
        pack(publication.message, queue=publication.queue),
        False if publication.task is None else new_task(publication.task),
    ]


def new_task(task: NewTask) -> Write:
    """Return the first record of a task."""
    fields = ["name", plain(task.name), "sent", str(micros(task.sent_at))]
    for name, value in (("root", task.root_id), ("parent", task.parent_id), ("group", task.group_id)):
        if value is not None:
            fields += [name, plain(value)]
    return [plain(task.id), plain(task.queue), str(span_us(task.ttl)), fields]


def start(start: Start) -> Write:
    """Return the note that an attempt began."""
    at = str(micros(start.at))
    new = ["name", plain(start.name), "sent", at]
    return [_word(start), at, plain(start.queue), str(span_us(start.ttl)), new]


def retry(note: RetryNote) -> Write:
    """Return the note that an attempt failed and another follows."""
    return [_word(note), told(note.error), [] if note.error is None else ["error", write_error(note.error)]]


def ending(ending: Ending) -> Write:
    """Return how a task ended."""
    fields = ["finished", str(micros(ending.finished_at))]
    optional = {
        "started": None if ending.started_at is None else str(micros(ending.started_at)),
        "runtime": None if ending.runtime_s is None else repr(ending.runtime_s),
        "result": ending.result,
        "error": None if ending.error is None else write_error(ending.error),
    }
    for name, value in optional.items():
        if value is not None:
            fields += [name, value]
    sent_at = ending.started_at or ending.finished_at
    return [
        _word(ending),
        ending.state.value,
        told(ending.error),
        fields,
        plain(ending.queue),
        str(span_us(ending.ttl)),
        ["name", plain(ending.name), "sent", str(micros(sent_at))],
        write_meta(ending.state, result=ending.result, error=ending.error, at=ending.finished_at),
    ]


def letter(bury: Bury) -> str:
    """Return what is known of a dead letter, as a JSON object without its end."""
    known = {
        "task_id": plain(bury.task_id),
        "task": plain(bury.task),
        "reason": bury.reason.value,
        "detail": plain(bury.detail),
        "attempt": bury.attempt,
    }
    # In ASCII: the facts may hold any text, and are read by Python only.
    return f'{write_json(known)[:-1]},"facts":{json.dumps(bury.facts, separators=(",", ":"))}'


def _word(write: Start | RetryNote | Ending) -> Write:
    return [
        plain(write.task_id),
        plain(write.token),
        str(write.fence),
        str(write.attempt),
        str(write.deliveries),
        plain(write.worker),
    ]
