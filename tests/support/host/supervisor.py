"""A supervisor as systemd is one: a datagram socket that processes notify (sd_notify(3))."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType

from tests.support.waiting import LEAST


class Supervisor:
    """Listens; use it as a context manager.

    :param watchdog: seconds within which it wants to hear of a process; None: it keeps no watchdog
    """

    def __init__(self, watchdog: float | None = None) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="sup-", dir="/tmp"))  # unix sockets have short paths only
        self.address = str(self._directory / "notify")
        self.environment = {"NOTIFY_SOCKET": self.address}
        if watchdog is not None:
            self.environment["WATCHDOG_USEC"] = str(round(watchdog * 1e6))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
        shutil.rmtree(self._directory)

    def receive(self, timeout: float = LEAST) -> list[str]:
        """The assignments of the next notification; empty when there is none in time."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(65536).decode().split("\n")
        except TimeoutError:
            return []

    def wait_for(self, assignment: str, timeout: float = LEAST) -> list[list[str]]:
        """Notifications up to the first that begins with an assignment, that one included."""
        deadline = time.monotonic() + timeout
        seen: list[list[str]] = []
        while not seen or not seen[-1][0].startswith(assignment):
            left = deadline - time.monotonic()
            if left <= 0 or not (notification := self.receive(left)):
                raise AssertionError(f"no {assignment} within {timeout} s, only {seen}")
            seen.append(notification)
        return seen

    def drain(self) -> None:
        """Forget what has come."""
        while self.receive(0.001):
            pass
