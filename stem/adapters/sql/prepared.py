"""Statements compiled once and handed to the driver as text.

For those that run with a row of parameters for each message: SQLAlchemy would
look at every parameter of every row again, which takes half as long as what the
database does for the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Insert, Update

    from stem.adapters.sql.dialect import Dialect


class Prepared:
    """A statement that is run for many rows at once.

    Args:
        statement: Without constants: each would have to be repeated in every row.
    """

    def __init__(self, statement: Insert | Update, dialect: Dialect) -> None:
        self._statement = statement
        self._dialect = dialect.compiler
        self._texts: dict[tuple[str, ...], str] = {}

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Run the statement for each row; for none, do nothing.

        Args:
            rows: Parameters by name, the same names in each, and values that the driver takes as they are.
                Names of columns that the statement does not mention are columns to set.
        """
        if rows:
            connection.exec_driver_sql(self._text(tuple(rows[0])), list(rows))

    def _text(self, names: tuple[str, ...]) -> str:
        text = self._texts.get(names)
        if text is None:
            compiled = self._statement.compile(
                dialect=self._dialect, column_keys=list(names), for_executemany=True
            )
            text = str(compiled)
            self._texts[names] = text
        return text
