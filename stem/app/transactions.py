"""Publishing within the caller's own database transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stem.errors import ConfigurationError
from stem.ports.broker import TransactionalBroker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stem.ports.broker import Broker, Intake, Publication


class TransactionIntake:
    """Takes messages into one transaction.

    Args:
        connection: The caller's; see `stem.ports.broker.TransactionalBroker`.
    """

    def __init__(self, broker: TransactionalBroker, connection: object) -> None:
        self._broker = broker
        self._connection = connection

    def publish(self, publications: Sequence[Publication]) -> list[bool]:
        """Write the messages; they are published when the transaction is committed."""
        return self._broker.publish_in(self._connection, publications)


def intake_of(broker: Broker, connection: object) -> Intake:
    """Return what publishes within the transaction of ``connection``.

    Raises:
        ConfigurationError: The broker cannot take part in a transaction.
    """
    if isinstance(broker, TransactionalBroker):
        return TransactionIntake(broker, connection)
    raise ConfigurationError(
        problems=[
            "enqueue_in: expected broker and results to be one PostgreSQL or SQLite database, "
            f"got the broker {broker.address}"
        ]
    )
