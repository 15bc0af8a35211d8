"""``tunbridge`` with a deciding worker that hangs for ever after SIGUSR1, and dies after SIGUSR2.

Started as a program in place of :mod:`controller.cli.commands`; until the signal comes it is the real one.
"""

from __future__ import annotations

import signal
from types import FrameType

from controller.cli import commands
from controller.daemon import process

_choose_hub = process.choose_hub
_given: list[int] = []


def _take(signum: int, _frame: FrameType | None) -> None:
    _given.append(signum)


def _choose_hub_and_be_faulty() -> None:
    _choose_hub()
    from os_ken.lib import hub

    from controller.agent.host_agent import HostAgent

    walk = HostAgent.walk

    def faulty(self: HostAgent) -> None:
        if signal.SIGUSR1 in _given:
            hub.Queue().get()
        if signal.SIGUSR2 in _given:
            raise RuntimeError("a defect")
        walk(self)

    HostAgent.walk = faulty  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, _take)
    signal.signal(signal.SIGUSR2, _take)


if __name__ == "__main__":
    process.choose_hub = _choose_hub_and_be_faulty
    commands.main()
