"""Tells systemd, or any supervisor that speaks its protocol, how this process is (sd_notify(3), systemd.service(5)).

A process that hangs looks alive to whoever only sees that it runs. So the watchdog is fed with answers of the worker
that decides, and of nothing else (what that has published stays there without it): when it is stuck, or the hub under
it, no word goes out, and the supervisor ends the process and starts it again.

The protocol is a datagram of assignments; PyPI's ``sdnotify`` has not been maintained since 2017, and the others are
bindings to a C library.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

from controller.runtime.workers import Workers
from controller.status.host_status import RunningHost
from topology.errors import TunbridgeError

LOG = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"

_STATUS_INTERVAL = 10.0
"""Seconds between two statuses where the supervisor keeps no watchdog."""

_FEEDS = 3
"""How often the watchdog is fed within the time that it allows."""


class SystemdNotifier:
    """Sends notifications; does nothing where nobody wants them.

    :param address: path of the supervisor's datagram socket, ``@`` for the null byte of an abstract one; None: there is
        no supervisor
    :param watchdog: seconds within which it wants to hear that this process works; None: it keeps no watchdog
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog if address is not None else None
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> SystemdNotifier:
        """What ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` say; they are taken out, for children of ours
        are not the service.
        """
        address = environment.pop("NOTIFY_SOCKET", None) or None
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        watchdog = int(microseconds) / 1e6 if mine and microseconds.isdecimal() and int(microseconds) else None
        return cls(address, watchdog)

    @property
    def wanted(self) -> bool:
        """True where somebody listens."""
        return self._address is not None

    def send(self, *assignments: str) -> None:
        """Send assignments such as :data:`READY`; never waits, and never fails its caller."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            LOG.warning("the supervisor at %s does not take %s: %s", self._address, assignments[0], error)


class Supervision:
    """The worker that feeds the watchdog."""

    def __init__(self, notifier: SystemdNotifier, host: RunningHost, workers: Workers) -> None:
        self._notifier = notifier
        self._host = host
        self._workers = workers
        self._interval = notifier.watchdog / _FEEDS if notifier.watchdog is not None else _STATUS_INTERVAL

    def run(self) -> None:
        """Pass on what the deciding worker answers, until the process stops."""
        while not self._workers.stopping:
            asked = time.monotonic()
            status = self._ask()
            if status is None:
                LOG.critical("the host controller has not answered for %g s: the watchdog is not fed", self._interval)
                continue
            self._notifier.send("WATCHDOG=1", f"STATUS={status}")
            self._workers.sleep(asked + self._interval - time.monotonic())

    def _ask(self) -> str | None:
        """How the host is; None when the agent does not answer in time."""
        try:
            self._host.ping(self._interval, key=Supervision)
        except TunbridgeError:
            return None
        return summary(self._host)


def summary(host: RunningHost) -> str:
    """One line on what a host serves, or waits for."""
    snapshot = host.agent.snapshot
    databases = {"Open vSwitch's database": host.vswitch.connected, "the topology database": host.topology.connected}
    waiting = [name for name, connected in databases.items() if not connected]
    waiting += [f"bridge {name}" for name in snapshot.names.bridges[:2] if name not in snapshot.connected]
    served = f"{snapshot.active} ports are up"
    return f"{served}; waits for {', '.join(waiting)}" if waiting else served
