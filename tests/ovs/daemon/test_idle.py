"""A host where nothing happens takes nothing: whatever waits is woken, and does not look again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.host.supervisor import Supervisor
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until


def waits(pid: int) -> int:
    """How often threads of a process have begun to wait."""
    statuses = (task / "status" for task in Path(f"/proc/{pid}/task").iterdir())
    found = [re.search(r"^voluntary_ctxt_switches:\s+(\d+)", one.read_text(), re.MULTILINE) for one in statuses]
    return sum(int(one[1]) for one in found if one is not None)


def test_a_host_where_nothing_happens_sleeps(tunbridge: Callable[..., Tunbridge]) -> None:
    """A second comes in which it is woken twice at most, which there is none of while somebody asks every 0.2 s."""
    never = {"report_interval": 86400, "agent_down_time": 172800, "audit_interval": 0}
    with Supervisor(600) as supervisor:
        controller = tunbridge(options={"agent": never}, environment=supervisor.environment)
        controller.wait_in_sync()

        def sleeps() -> bool:
            before = waits(controller.pid)
            time.sleep(1)  # what is counted is counted in this time
            return waits(controller.pid) - before <= 2

        wait_until(sleeps, 60, "a second in which hardly anything woke it")
        assert controller.stop() == 0
