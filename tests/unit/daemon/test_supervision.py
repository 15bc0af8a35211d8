"""Notifications to a supervisor: who gets them, in which form, and that they never harm the service."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from pathlib import Path

import pytest

from controller.daemon.supervision import SystemdNotifier
from tests.support.host.supervisor import Supervisor
from tests.support.logs import lines_of


def test_assignments_are_one_datagram() -> None:
    """Assignments of one call arrive together, one a line."""
    with Supervisor() as supervisor:
        SystemdNotifier(supervisor.address).send("WATCHDOG=1", "STATUS=3 ports are up")
        assert supervisor.receive() == ["WATCHDOG=1", "STATUS=3 ports are up"]


def test_an_abstract_socket() -> None:
    """``@name`` is the abstract socket of that name, as in sd_notify(3)."""
    name = f"tunbridge-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(60)
        SystemdNotifier(f"@{name}").send("READY=1")
        assert receiver.recv(100) == b"READY=1"


WATCHDOGS = {
    ("2000000", None): 2.0,
    ("500000", str(os.getpid())): 0.5,
    ("2000000", "1"): None,
    ("0", None): None,
    ("", None): None,
    ("-5", None): None,
    ("soon", None): None,
}
"""WATCHDOG_USEC and WATCHDOG_PID → seconds."""


@pytest.mark.parametrize("given", WATCHDOGS)
def test_the_environment_is_read_and_not_inherited(given: tuple[str, str | None]) -> None:
    """The watchdog of another process is none of ours; a child process learns nothing of the supervisor."""
    microseconds, pid = given
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": microseconds, "PATH": "/bin"}
    if pid is not None:
        environment["WATCHDOG_PID"] = pid
    notifier = SystemdNotifier.from_environment(environment)
    assert (notifier.wanted, notifier.watchdog) == (True, WATCHDOGS[given])
    assert environment == {"PATH": "/bin"}


def test_without_a_supervisor() -> None:
    """Nothing is wanted, and nothing happens."""
    notifier = SystemdNotifier.from_environment({"WATCHDOG_USEC": "1000000"})
    assert (notifier.wanted, notifier.watchdog) == (False, None)
    notifier.send("READY=1")


def test_a_supervisor_that_does_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A socket whose queue is full, or that has gone, is logged; the caller goes on at once."""
    with Supervisor() as supervisor, caplog.at_level(logging.WARNING):
        notifier = SystemdNotifier(supervisor.address)
        while not lines_of(caplog, "controller.daemon.supervision"):
            notifier.send("WATCHDOG=1")
        assert "does not take WATCHDOG=1" in lines_of(caplog, "controller.daemon.supervision")[0]
    caplog.clear()
    SystemdNotifier(str(tmp_path / "none")).send("READY=1")
    assert "does not take READY=1" in lines_of(caplog, "controller.daemon.supervision")[0]
