"""Show log events to a person: one line each, with their facts."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stem.security.masking import MASK, is_secret_name, mask_text
from stem.security.terminal import printable

if TYPE_CHECKING:
    from typing import TextIO

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    """Write ``2026-01-31T12:00:00.000Z warning lease.lost task_id=… queue=…``.

    Secrets are masked and control characters escaped, in tracebacks too: a text from
    elsewhere can neither forge a line nor steer a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and the lines of its traceback."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = [
            f"{name}={MASK if is_secret_name(name) else _quoted(value)}"
            for name, value in vars(record).items()
            if name not in _STANDARD_FIELDS
        ]
        event = printable(mask_text(record.getMessage()))
        line = " ".join([at.replace("+00:00", "Z"), record.levelname.lower(), event, *facts])
        trace = mask_text(self.formatException(record.exc_info)) if record.exc_info else ""
        return "\n".join([line, *map(printable, trace.splitlines())])


def _quoted(value: object) -> str:
    text = mask_text(str(value))
    return text if text.isprintable() and " " not in text else repr(text)


def configure_logging(level: str, *, everybody: bool = False, stream: TextIO | None = None) -> None:
    """Show Stem's events at ``level`` and above, and everybody's warnings.

    An application that has set up logging itself is left alone.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        everybody: Whether other loggers are shown at ``level``, too: where tasks run, their own.
        stream: Standard error by default.
    """
    if logging.root.handlers:
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EventFormatter())
    logging.root.addHandler(handler)
    (logging.root if everybody else logging.getLogger("stem")).setLevel(level.upper())
