"""What a supervisor sees of a controller: that it serves, that it works, how it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from scripts.processes import ProcessError
from tests.support.host.supervisor import Supervisor
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

FAULTY = "tests.support.host.faulty_controller"
WATCHDOG = 15.0
"""Seconds; the controller feeds it three times within them."""


def test_ready_fed_and_stopping(tunbridge: Callable[..., Tunbridge]) -> None:
    """READY=1 comes once it serves, then WATCHDOG=1 again and again with what it serves, STOPPING=1 at the end."""
    with Supervisor(WATCHDOG) as supervisor:
        controller = tunbridge(environment=supervisor.environment)
        assert supervisor.receive() == ["READY=1"]
        controller.wait_in_sync()
        supervisor.wait_for("WATCHDOG=1")
        supervisor.drain()
        for _ in range(2):
            assert supervisor.receive() == ["WATCHDOG=1", "STATUS=0 ports are up"]
        assert controller.stop() == 0
        assert supervisor.wait_for("STOPPING=1")[-1] == ["STOPPING=1"]


def test_a_status_without_a_watchdog(tunbridge: Callable[..., Tunbridge]) -> None:
    """A supervisor that keeps no watchdog is told all the same; what is waited for is named."""
    with Supervisor() as supervisor:
        controller = tunbridge(environment=supervisor.environment, ready=False)
        assert supervisor.receive() == ["READY=1"]
        (_, status) = supervisor.receive()
        assert status.startswith("STATUS=0 ports are up")
        controller.wait_in_sync()


def test_a_worker_that_hangs_is_not_vouched_for(tunbridge: Callable[..., Tunbridge]) -> None:
    """When the deciding worker is stuck the watchdog is not fed any more, and the log says so; what the supervisor then
    does, SIGABRT, leaves all stacks in the log and another exit status than an error."""
    with Supervisor(WATCHDOG) as supervisor:
        environment = {**supervisor.environment, "PYTHONFAULTHANDLER": ""}  # as an operator has it
        controller = tunbridge(environment=environment, program=FAULTY, check=False)
        supervisor.wait_for("WATCHDOG=1")
        os.kill(controller.pid, signal.SIGUSR1)
        controller.wait_log("the host controller has not answered for 5 s")
        supervisor.drain()
        assert supervisor.receive(WATCHDOG) == []
        assert controller.stop(signal.SIGABRT) == -signal.SIGABRT
        assert "most recent call first" in controller.log_text()


def test_a_worker_that_dies_ends_the_process_with_a_status_of_its_own(tunbridge: Callable[..., Tunbridge]) -> None:
    """70, which a supervisor starts again after; not 1, which an error in the configuration ends with."""
    controller = tunbridge(program=FAULTY, check=False)
    controller.wait_in_sync()
    os.kill(controller.pid, signal.SIGUSR2)

    def died() -> bool:
        with suppress(ProcessError):
            controller.quick_status()  # an event, for it to die of
        return "worker host controller died" in controller.log_text()

    wait_until(died, 20, "it has died")
    assert controller.wait_ended() == 70


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tunbridge: Callable[..., Tunbridge], signum: signal.Signals) -> None:
    """0, after SIGTERM and after Ctrl-C."""
    controller = tunbridge()
    assert controller.stop(signum) == 0


def test_nothing_is_sent_where_nobody_listens(tunbridge: Callable[..., Tunbridge]) -> None:
    """A supervisor that has gone disturbs nobody: the controller serves, and logs it."""
    with Supervisor(WATCHDOG) as supervisor:
        environment = supervisor.environment
    controller = tunbridge(environment=environment)
    controller.wait_in_sync()
    wait_until(lambda: "does not take WATCHDOG=1" in controller.log_text(), 20, "said")
