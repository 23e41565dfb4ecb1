"""Where foreign errors stop: what py-amqp and the socket raise becomes a `StoreError`.

A server's text is passed on where it tells what to change; it names queues and
arguments, never credentials.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused, AMQPError, MessageNacked, NotAllowed, PreconditionFailed

from stem.errors import StoreDeniedError, StoreError, StoreFullError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

    from stem.adapters.amqp.location import Location

FOREIGN: Final = (AMQPError, MessageNacked, OSError)
"""All that py-amqp lets out when the server or the network is at fault."""

_START: Final = "make sure that RabbitMQ runs there and that this machine may reach it"
_RIGHTS: Final = "check user and password in the URL, and the user's rights on the virtual host"
_VHOST: Final = "make the virtual host, or name another one in the URL"
_ARGUMENTS: Final = "the queue exists with other arguments; use it as it is, or delete it"


@contextmanager
def translated(location: Location, operation: str) -> Generator[None]:
    """Raise what goes wrong inside as a `StoreError`.

    Args:
        operation: What is being done, a verb.
    """
    try:
        yield
    except FOREIGN as error:
        raise judged(error, location, operation) from error


def judged(error: Exception, location: Location, operation: str) -> StoreError:
    """Return what a foreign error means."""
    kind, reason, remedy = _verdict(error)
    return kind(server=location.address, operation=operation, reason=reason, remedy=remedy)


def unanswered(location: Location, operation: str, *, blocked: bool) -> StoreError:
    """Return the error of a server that did not answer in time."""
    if blocked:
        return StoreFullError(
            server=location.address,
            operation=operation,
            reason="the server blocks publishers: an alarm for memory or disk space",
            remedy="make space on the server; the same call then succeeds",
        )
    return StoreUnavailableError(
        server=location.address,
        operation=operation,
        reason=f"no answer within {location.timeout_s:g} s",
        remedy=_START,
    )


def _verdict(error: Exception) -> tuple[type[StoreError], str, str]:
    text = _one_line(error)
    match error:
        case AccessRefused():
            return StoreDeniedError, f"refused: {text}", _RIGHTS
        case NotAllowed():
            return StoreDeniedError, f"not allowed: {text}", _VHOST
        case PreconditionFailed():
            if "inequivalent" in text:
                return StoreError, text, _ARGUMENTS
            return StoreUnavailableError, text, ""
        case ssl.SSLCertVerificationError():
            return (
                StoreDeniedError,
                f"its certificate is not trusted: {error.verify_message}",
                "give ca=… in the URL",
            )
        case TimeoutError():
            return StoreUnavailableError, "no answer in time", _START
        case OSError():
            return (
                StoreUnavailableError,
                f"cannot be reached ({error.strerror or type(error).__name__})",
                _START,
            )
        case _:
            # The connection or a channel is gone; making a new one may help.
            return StoreUnavailableError, text or type(error).__name__, ""


def _one_line(error: Exception) -> str:
    text = getattr(error, "reply_text", None) or (str(error.args[0]) if error.args else "")
    return " ".join(str(text).split())[:300]
