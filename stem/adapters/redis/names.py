"""The names of keys and channels.

Kombu's own (a queue's lists, ``unacked``, ``unacked_index``) and Celery's (``celery-task-meta-<id>``)
are as a Celery fleet with the ``global_keyprefix`` `Names.kombu` has them. The namespace ``stem``, the
default, adds nothing to the URL's ``prefix``, so that such a fleet shares its queues. Any other
namespace adds ``<namespace>:``, since queues of the same name in two namespaces are two queues.

Stem's own keys begin with `Names.own`, ``<namespace>.`` behind that prefix:

====================  ======  =====================================================================
``leases:<queue>``    zset    token: until when the lease holds
``delayed:<queue>``   zset    token: when it is due
``queues``            set     every queue that holds, or has held, a message
``paused``            set     queues that nothing is leased from
``live``              hash    task id: ``leased``, the token of a delayed one, or step and queue
``version``           string  the last time given out, pushed forward so that none is given twice
``call:<source>``     string  what the last lease of a source gave, until that has lapsed
``task:<id>``         hash    the task's record, its timeline among it
``state:<state>``     zset    task id: version of its record, the newest 100,000
``queue:<queue>``     zset    the same by queue
``expiry``            zset    task id: when its record may be deleted
``buried``            zset    entry: when it was buried, replayed ones too
``dead``              zset    those that were not replayed; ``dead:<queue>`` are those of one queue
``letters``           hash    entry: what is known, JSON; ``payloads`` the messages themselves
``replayed``          hash    entry: when it was put back
``workers``           hash    worker: boot and heartbeat; ``workers.until`` when it is dead
``revocations``       hash    task id: the order; ``revoked`` for paging, ``revoked.until`` its end
====================  ======  =====================================================================
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

DEFAULT_NAMESPACE: Final = "stem"
STEPS: Final = (9, 6, 3, 0)
"""Kombu's lists of a queue, those with higher priorities first: 9, then 6 to 8, 3 to 5, 0 to 2.

A message lies where kombu would put it. Celery's workers take the lists in the opposite order, as
priorities on Redis mean the opposite to them; without priorities there is one list for all.
"""

_SHARED: Final = ("unacked", "unacked_index")
_OWN: Final = (
    "queues", "paused", "live", "version", "expiry", "buried", "dead", "letters", "payloads", "replayed",
)  # fmt: skip


class Names:
    """Makes names for one prefix and namespace.

    Attributes:
        kombu: What kombu's and Celery's names begin with.
        own: What Stem's names begin with.
    """

    def __init__(self, *, prefix: str, namespace: str) -> None:
        self.kombu = prefix if namespace == DEFAULT_NAMESPACE else f"{prefix}{namespace}:"
        self.own = f"{self.kombu}{namespace}."

    @cached_property
    def keys(self) -> bytes:
        """The keys that every script is given, with their number, as the server reads them."""
        names = [*(self.kombu + name for name in _SHARED), *(self.own + name for name in _OWN)]
        return _bulks(str(len(names)), *names)

    @cached_property
    def fixed(self) -> tuple[int, bytes]:
        """How many parts each call of a script has besides its own arguments, and those after the time."""
        # EVALSHA, its digest, the number of keys and the keys, the time, the two prefixes
        return 2 + 1 + len(_SHARED) + len(_OWN) + 3, _bulks(self.kombu, self.own)

    def list_of(self, queue: str, step: int) -> str:
        """Return the list of ``queue`` that holds the priorities from ``step`` on."""
        return f"{self.kombu}{queue}" if step == 0 else f"{self.kombu}{queue}\x06\x16{step}"

    def lists_of(self, queue: str) -> list[str]:
        """Return the lists of ``queue``."""
        return [self.list_of(queue, step) for step in STEPS]

    def result(self, task_id: str) -> str:
        """Return the key of Celery's result, which is also the channel that tells of it."""
        return f"{self.kombu}celery-task-meta-{task_id}"

    def task(self, task_id: str) -> str:
        """Return the key of a task's record."""
        return f"{self.own}task:{task_id}"


def _bulks(*texts: str) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(data), data) for data in (text.encode() for text in texts))
