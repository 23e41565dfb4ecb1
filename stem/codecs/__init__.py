"""Messages to bytes and back, in Celery's protocol 2 and kombu's transport form.

Reading is strict and bounded: what cannot be understood comes back as a `Refusal` with its
reason, never as an exception, and no byte of a refused body reaches a decoder. Nothing is
imported, called or opened because a message asks for it. What `encode` returns can be read.

What is refused and what is read, where JSON leaves the choice:

- NaN, infinities, numbers beyond the range of floats, integers of more than 4,300 digits and
  texts with half a surrogate pair are refused: they could not be passed on or stored.
- Of duplicate keys the last one counts, as in every other reader of Python.
- A mapping whose only keys are ``__type__`` and ``__value__`` is a tagged value, as kombu writes it.
- The body is UTF-8 whatever ``content-encoding`` says, as kombu reads it.
"""

from __future__ import annotations

from stem.codecs.calls import encode, read_arguments, replayed, retried
from stem.codecs.headers import (
    GENERATION,
    RETRY,
    SENT_AT,
    read_envelope,
    read_label,
    read_priority,
    write_headers,
)
from stem.codecs.transport import MAX_BODY_BYTES, pack, unpack
from stem.codecs.values import MAX_DEPTH, MAX_DIGITS, MAX_ELEMENTS, dumps, loads

__all__ = [
    "GENERATION",
    "MAX_BODY_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_ELEMENTS",
    "RETRY",
    "SENT_AT",
    "dumps",
    "encode",
    "loads",
    "pack",
    "read_arguments",
    "read_envelope",
    "read_label",
    "read_priority",
    "replayed",
    "retried",
    "unpack",
    "write_headers",
]
