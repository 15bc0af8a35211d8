"""One look at a database, or one change, by a command that then ends."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from topology.errors import TopologyUnavailable

B = TypeVar("B")
_B_co = TypeVar("_B_co", covariant=True)


class Followable(Protocol[_B_co]):
    """A view of a database: :class:`topology.ovsdb.replica.Replica`, or what is made of one."""

    @property
    def connection(self) -> str: ...
    def start(self, listener: Callable[[_B_co], None]) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def opened(view: Followable[B], timeout: float) -> Iterator[B]:
    """Follow a database within a ``with`` statement, which gets the first, complete batch.

    :param timeout: seconds to wait for that
    :raises TopologyUnavailable: it did not come
    """
    batches: queue.Queue[B] = queue.Queue()
    view.start(batches.put)
    try:
        try:
            first = batches.get(timeout=timeout)
        except queue.Empty:
            raise TopologyUnavailable(
                f"topology database at {view.connection} does not answer within {timeout:g} s"
            ) from None
        yield first
    finally:
        view.stop()
