"""A Kombu channel on the message tables."""

from __future__ import annotations

import logging
from datetime import timedelta
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps

from stem.errors import StoreError
from stem.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from stem.adapters.sql.foreign import ForeignQueues, Taken

log = logging.getLogger(__name__)

# Kombu is not typed, and what checkers infer of its classes is narrower than what these mean.
_QoS: Any = virtual.QoS
_Channel: Any = virtual.Channel

VISIBILITY_TIMEOUT_S: Final = 1800

_LEAST_IDLE: Final = timedelta(minutes=5)
# Whatever a queue asks for: a consumer that runs one long task after the other, as Celery's
# solo pool does, cannot look into its mailbox in between.
_USE_EVERY_S: Final = 60.0


class QoS(_QoS):  # type: ignore[misc] # see above
    """Settles by the token of the delivery."""

    channel: Channel

    def ack(self, delivery_tag: str) -> None:
        """Remove the message."""
        if not self.channel.queues.acknowledge(delivery_tag):
            log.warning("settle.refused", extra={"count": 1})
        self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give the message back, or bury it."""
        queues = self.channel.queues
        settled = queues.give_back([delivery_tag]) if requeue else queues.refuse(delivery_tag)
        if not settled:
            log.warning("settle.refused", extra={"count": 1})
        self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Give back what is not settled."""
        self._flush()
        tokens = list(self._delivered)
        self._delivered.clear()
        try:
            self.channel.queues.give_back(tokens)
        except StoreError as error:
            # On the way out: the leases lapse by themselves.
            log.warning("store.unavailable", extra={"server": error.server, "reason": error.reason})
        return []


class Channel(_Channel):  # type: ignore[misc] # see above
    """Puts messages into the tables and takes them out under a lease.

    Attributes:
        visibility_timeout: Seconds that a message is leased to a consumer, a transport option.
            Longer than any task: who takes longer sees it run again.
    """

    QoS = QoS
    supports_fanout = True
    visibility_timeout: float = VISIBILITY_TIMEOUT_S
    from_transport_options = (*_Channel.from_transport_options, "visibility_timeout")

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.queues: ForeignQueues = connection.queues
        self._clock = connection.clock
        self._without_ack: set[str] = set()
        self._auto_delete: set[str] = set()
        self._use_at_s: dict[str, float] = {}

    def prepare_queue_arguments(self, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Return a queue's arguments under RabbitMQ's names."""
        prepared: dict[str, Any] = to_rabbitmq_queue_arguments(arguments, **options)
        return prepared

    def _new_queue(
        self,
        queue: str,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        expires_ms = (arguments or {}).get("x-expires")
        idle = None
        if exclusive or expires_ms is not None:
            idle = max(timedelta(milliseconds=int(expires_ms or 0)), _LEAST_IDLE)
            self._use_at_s[queue] = self._clock.monotonic() + _USE_EVERY_S
        elif auto_delete:
            # It goes with its last consumer, so not before it had one.
            self._auto_delete.add(queue)
        self.queues.declare(queue, idle=idle)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.queues.exists(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self._put_copies([queue], message)

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **_: Any) -> None:
        self._put_copies([queue for _, _, queue in self.queues.bindings(exchange)], message)

    def _put_copies(self, queues: list[str], message: dict[str, Any]) -> None:
        if queues:
            content = Message(headers=message["headers"], properties=message["properties"], body=b"")
            priority: int = self._get_message_priority(message)
            self.queues.put(queues, dumps(message), content, priority=priority)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[..., Any], consumer_tag: str, **options: Any
    ) -> None:
        """Consume from ``queue``."""
        if no_ack:
            self._without_ack.add(queue)
        if queue in self._auto_delete:
            self.queues.make_transient(queue, idle=_LEAST_IDLE)
            self._use_at_s.setdefault(queue, self._clock.monotonic() + _USE_EVERY_S)
        super().basic_consume(queue, no_ack, callback, consumer_tag, **options)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop a consumer."""
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue not in self._active_queues:
            self._without_ack.discard(queue)
            self._use_at_s.pop(queue, None)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """Return the next message, or None."""
        try:
            raw = self._take(queue, keep=not no_ack)
        except Empty:
            return None
        message = self.Message(raw, channel=self)
        if not no_ack:
            self.qos.append(message, message.delivery_tag)
        return message

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        self._use(queue)
        return self._take(queue, keep=queue not in self._without_ack)

    def _take(self, queue: str, *, keep: bool) -> dict[str, Any]:
        lease = timedelta(seconds=self.visibility_timeout)
        taken = self.queues.take(queue, lease=lease, keep=keep)
        if taken is None:
            raise Empty
        return _delivered(taken)

    def _use(self, queue: str) -> None:
        now_s = self._clock.monotonic()
        if now_s < self._use_at_s.get(queue, now_s + 1):
            return
        self._use_at_s[queue] = now_s + _USE_EVERY_S
        if not self.queues.use(queue):
            # It was thought to be dead, and is declared anew: queue and bindings.
            self.queues.declare(queue, idle=_LEAST_IDLE)
            for exchange, routing_key, arguments in self.state.queue_bindings(queue):
                meta = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
                self._queue_bind(exchange, *meta)

    def _size(self, queue: str) -> int:
        return self.queues.size(queue)

    def _purge(self, queue: str) -> int:
        return self.queues.purge(queue)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Delete ``queue`` with what waits in it."""
        if if_empty and self._size(queue):
            return
        self.queues.drop(queue)
        self._use_at_s.pop(queue, None)
        self.state.queue_bindings_delete(queue)

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete ``exchange`` and its bindings, not the queues."""
        self.queues.forget_exchange(exchange)
        self.state.exchanges.pop(exchange, None)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Stop feeding ``queue`` from ``exchange``."""
        self.state.binding_delete(queue, exchange, routing_key)
        meta = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
        self.queues.unbind(exchange or "", *_texts(meta))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        self.queues.bind(exchange, *_texts((routing_key, pattern, queue)))

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """Return the bindings of ``exchange``, whoever made them: routing key, pattern and queue."""
        return self.queues.bindings(exchange)


def _texts(meta: tuple[str | None, str | None, str | None]) -> tuple[str, str, str]:
    routing_key, pattern, queue = meta
    return routing_key or "", pattern or "", queue or ""


def _delivered(taken: Taken) -> dict[str, Any]:
    properties = taken.fields["properties"]
    properties["delivery_tag"] = taken.token
    if taken.redelivered:
        properties["delivery_info"]["redelivered"] = True
    return taken.fields
