"""Render the reference page of the signals from their declarations."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, Final

from stem.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stem.signals import Signal

_INTRODUCTION: Final = """\
# Signals

A signal tells that something has happened. A handler takes the payload, or the payload and a context with the
signal's `name`, the time `sent_at`, and `cancel()`, which passes over the handlers after it:

```python
from stem import signals


@signals.task_retry.connect
def tell(payload):
    print(f"Task {payload.envelope.name} retry {payload.attempt}")


@signals.worker_heartbeat.connect(where={"worker_id": "default@host-a"})
def measure(payload, context):
    print(payload.worker.inflight, context.sent_at)
```

Handlers are called one after the other, in the order in which they were connected. What a handler raises is
logged (`signal.receiver_failed`) and passed over; it changes nothing for the task. Handlers of the signals
that a worker sends run in a thread of their own. Those of `task-prerun` and `task-postrun` run where the task
does, and it waits for them.

`connect` takes `where=` (`task_name`, `task_id`, `queue`, `worker_id`, as far as the payload has them),
`once=True`, `weak=True` and `dispatch_uid=`, and returns a subscription with `disconnect()`.
`STEM_SIGNALS_ENABLED=false` switches every signal off, `STEM_SIGNALS_DISABLED=task-prerun,task-postrun` some.
"""


def render() -> str:
    """Return the page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(signal) for signal in SIGNALS.values())])


def _section(signal: Signal[Any]) -> str:
    meaning = (
        (inspect.getdoc(signal.payload) or "").partition("\n")[0].replace("`Envelope.expires`", "expiry")
    )
    rows = "\n".join(f"| `{name}` | `{kind}` | {text} |" for name, kind, text in _fields(signal.payload))
    return f"""\
## {signal.name}

{meaning} Sent {signal.when[0].lower()}{signal.when[1:]}

`stem.signals.{signal.name.replace("-", "_")}` carries `{signal.payload.__name__}`:

| field | type | meaning |
|---|---|---|
{rows}
"""


def _fields(payload: type[Any]) -> Iterator[tuple[str, str, str]]:
    told = {name: text for cls in payload.__mro__ for name, text in _told(cls)}
    for field in dataclasses.fields(payload):
        yield field.name, str(field.type).replace("|", "\\|"), told[field.name]


def _told(cls: type[Any]) -> list[tuple[str, str]]:
    described = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")[2]
    return re.findall(r"^ {4}(\w+): (.+)$", described.replace("``", "`"), re.MULTILINE)
