"""One look at a database, or one change, by a command that then ends."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from topology.errors import TopologyUnavailable

B = TypeVar("B")
_B_co = TypeVar("_B_co", covariant=True)


class Followable(Protocol[_B_co]):
    """A view of a database: :class:`topology.ovsdb.replica.Replica`, or what is made of one."""

    @property
    def connection(self) -> str: ...
    @property
    def reached(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...
    def start(self, listener: Callable[[_B_co], None]) -> None: ...
    def stop(self) -> None: ...


_LARGE_SNAPSHOT = 60.0
"""Seconds more to wait for the rows of a server that is reached; 10,000 ports take some 5 s."""


def _first(view: Followable[B], batches: queue.Queue[B], timeout: float) -> B:
    try:
        return batches.get(timeout=timeout)
    except queue.Empty:
        if view.reached:
            with suppress(queue.Empty):
                return batches.get(timeout=_LARGE_SNAPSHOT)
    why = f": {view.problem}" if view.problem else ""
    raise TopologyUnavailable(f"topology database at {view.connection} does not answer within {timeout:g} s{why}")


@contextmanager
def opened(view: Followable[B], timeout: float) -> Iterator[B]:
    """Follow a database within a ``with`` statement, which gets the first, complete batch.

    :param timeout: seconds to wait for that; once the server is reached, a large database gets more
    :raises TopologyUnavailable: it did not come
    """
    batches: queue.Queue[B] = queue.Queue()
    view.start(batches.put)
    try:
        yield _first(view, batches, timeout)
    finally:
        view.stop()
