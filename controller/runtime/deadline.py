"""The end of the time that a whole exchange may take: a peer that trickles gets no more than one that is silent.

It needs neither os-ken nor a hub, so that a command that only asks a question loads neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar


class _HasTimeout(Protocol):
    def settimeout(self, seconds: float, /) -> None: ...


S = TypeVar("S", bound=_HasTimeout)


class Deadline:
    """So much time from now on.

    :param seconds: for everything together
    :param clock: in seconds; never goes back
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def is_over(self) -> bool:
        """True when no time is left."""
        return self._clock() >= self._at

    def left(self) -> float:
        """Seconds that are left, more than 0.

        :raises TimeoutError: none are
        """
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def limit(self, sock: S) -> S:
        """The socket, of which the next call may take what is left of the time.

        To be asked before each call: ``deadline.limit(sock).recv(size)``. Not for ``sendall()``, which on a green
        socket waits anew for each part.

        :raises TimeoutError: nothing is left
        """
        sock.settimeout(self.left())
        return sock
