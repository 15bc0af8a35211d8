"""Whether the address that other hosts send tunnels to is one of this machine, as it is now.

The kernel is asked, who knows it where ovs-vswitchd uses the same network namespace: a device of Open vSwitch is there
then. In a container with a network of its own nothing is found out.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping

from controller.runtime.backoff import Backoff
from controller.runtime.worker import Worker

_INTERVAL = 10.0
"""Seconds after which an address is looked up again: a device may get or lose it."""

_UNTIL_KNOWN = Backoff(0.1, _INTERVAL)
"""Pauses while nothing can be found out: the bridge may be about to be made."""


def lacks(address: str, bridge: str) -> bool | None:
    """Whether this machine lacks an IP address; None: that cannot be told.

    :param bridge: of Open vSwitch, which is a device too where its network is this machine's
    """
    try:
        socket.if_nametoindex(bridge)
    except OSError:
        return None
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return False


class LocalAddressWatch(Worker[None, None]):
    """Looks again and again.

    :param address: ``[ovs] local_ip``; None: there is nothing to be found out
    :param bridge: as of :func:`lacks`
    :param changed: is told whether the machine lacks the address, at first only if so; called in the worker
    """

    drains = False

    def __init__(self, address: str | None, bridge: str, changed: Callable[[bool], None]) -> None:
        super().__init__("local address")
        self._address = address
        self._bridge = bridge
        self._changed = changed
        self._told = False
        self._unknown = 0  # times in a row
        self._next: float | None = None if address is None else time.monotonic()

    def _due(self) -> float | None:
        return self._next

    def _do(self, batch: Mapping[None, None]) -> None:
        if self._address is None:
            return
        lacking = lacks(self._address, self._bridge)
        self._unknown = self._unknown + 1 if lacking is None else 0
        self._next = time.monotonic() + (_UNTIL_KNOWN.pause(self._unknown) if lacking is None else _INTERVAL)
        if lacking is not None and lacking != self._told:
            self._told = lacking
            self._changed(lacking)
