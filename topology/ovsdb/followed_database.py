"""A database that a program follows, and what it asks of the copy: what all such databases have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from topology.ovsdb.replica import Replica

B = TypeVar("B")


class FollowedDatabase(Generic[B]):
    """Base of the views of databases, each of which reads its rows and writes them in its own words.

    :param replica: the copy of the database, whose changes are told as batches of type ``B``
    """

    def __init__(self, replica: Replica[B]) -> None:
        self._replica = replica

    @property
    def connection(self) -> str:
        """The OVSDB connection method."""
        return self._replica.connection

    @property
    def connected(self) -> bool:
        """True while what is known of the database is current."""
        return self._replica.connected

    @property
    def reached(self) -> bool:
        """True while the server is connected, also when its rows have not all come yet."""
        return self._replica.reached

    @property
    def problem(self) -> str | None:
        """Why there is no connection, where more is known than that nobody answers."""
        return self._replica.problem

    @property
    def transactions(self) -> int:
        """Transactions committed since start that changed something."""
        return self._replica.transactions

    @property
    def rows_written(self) -> int:
        """Rows that those inserted, changed or deleted."""
        return self._replica.rows_written

    def start(self, listener: Callable[[B], None]) -> None:
        """Begin to follow it; see :meth:`topology.ovsdb.replica.Replica.start`."""
        self._replica.start(listener)

    def stop(self) -> None:
        """End the connection and its thread."""
        self._replica.stop()
