"""One look at a database, or one change, by a command that then ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from topology.errors import TopologyUnavailable, TunbridgeError
from topology.ovsdb.obstacle import obstacle
from topology.ovsdb.replica import Replica

B = TypeVar("B")

LARGE_SNAPSHOT = 60.0
"""Seconds more to wait for the rows of a server that is reached; 10,000 ports take some 5 s."""


class Followed(Generic[B]):
    """What a view of a database tells; made by :func:`followed`.

    :param first: the complete batch that it began with
    :param latest: the last one; of a view that tells changes, these alone
    """

    first: B
    latest: B

    def __init__(self) -> None:
        self.filled = False
        self._news = threading.Condition()

    def add(self, batch: B) -> None:
        """The listener of the view."""
        with self._news:
            if not self.filled:
                self.first = batch
            self.latest, self.filled = batch, True
            self._news.notify_all()

    def until(self, accepts: Callable[[B], bool], timeout: float) -> bool:
        """Wait until the latest batch is one that is accepted.

        :param timeout: seconds
        :returns: whether it was in time
        """
        with self._news:
            return self._news.wait_for(lambda: self.filled and accepts(self.latest), timeout)


@contextmanager
def followed(
    view: Replica[B],
    timeout: float,
    what: str = "topology database",
    unavailable: type[TunbridgeError] = TopologyUnavailable,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Followed[B]]:
    """Follow a database within a ``with`` statement, which is entered with the first, complete batch.

    :param timeout: seconds to wait for that; once the server is reached, a large database gets more
    :param what: the database is called in the error
    :param meanwhile: is done while the server is being connected; the seconds begin when it is
    :raises TunbridgeError: of ``unavailable``: it did not come
    """
    batches: Followed[B] = Followed()
    view.start(batches.add)
    try:
        meanwhile()
        if not (batches.until(_any, timeout) or (view.reached and batches.until(_any, LARGE_SNAPSHOT))):
            why = f": {view.problem}" if view.problem else obstacle(view.connection)
            raise unavailable(f"{what} at {view.connection} does not answer within {timeout:g} s{why}")
        yield batches
    finally:
        view.stop()


def _any(_: object) -> bool:
    return True


@contextmanager
def opened(view: Replica[B], timeout: float, meanwhile: Callable[[], object] = lambda: None) -> Iterator[B]:
    """The same for a topology database and who has no use for a second batch: gives the first one.

    :raises TopologyUnavailable: as of :func:`followed`
    """
    with followed(view, timeout, meanwhile=meanwhile) as batches:
        yield batches.first
