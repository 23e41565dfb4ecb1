"""One stack of ports over two databases: messages in one, task records and dead letters in another.

No step covers both, so the order of the steps decides what a crash may do. Each line is one
step; any of them may be the last.

    publish     record ``queued``, unless there is one → message
    lease       lease → record ``running`` under a new fence
    Complete    lease checked → successors → record ended → message removed
    Release     lease checked → record ``queued`` → message waits
    Reschedule  lease checked → record ``retrying`` → message replaced by the next attempt's
    Bury        lease checked → dead letter → record ended → message removed
    reclaim     messages wait again, or the broker gives them up → dead letters → records ended → given up
    cancel      message removed → record ended
    replay      entry marked, record ``queued``, message in the store's own queue (one step) → message
                in the broker → message out of the store's queue

What a crash leaves after each step, and why going on is safe:

- A record without a message. Whoever published was not told that it is; publishing again under the
  same id sends the message, because a record that was never claimed keeps no message out.
- A message whose record has not moved. It stays leased, comes back, and is claimed under a fence
  above every earlier one, so that only the later delivery's word counts.
- A record that has ended while its message has not gone. The message comes back and is removed
  unrun, because its record has ended.
- A dead letter while the task runs again. Its id is made of task and generation, so that the
  second burial finds it there. A task that then ends well leaves the entry behind.
- Successors while the task runs again. Their ids are the same on every run, and known ids are
  passed over; were the record ended first, a crash would lose them with nothing left to tell.
- A second copy of a message, where the broker cannot recognise it: an unrepeated delivery of an
  attempt that is running already is removed unrun. What is running comes back as repeated if its
  worker dies, so that nothing is lost by it.
- A replayed message in the store's own queue. Every worker looks there and sends it on.
- A cancelled task's record that is not ended, when its message is gone: the one step that is not
  made up for. Whoever cancelled was not told that it happened, and the record stays ``queued``.

Records that a dead worker leaves say ``running`` until their message is leased again. The broker
and the stores need not agree on the time: only leases lapse by a clock, the broker's.
"""

from __future__ import annotations

from stem.two_stores.stack import join_stacks

__all__ = ["join_stacks"]
