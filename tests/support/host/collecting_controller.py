"""``tunbridge`` that says in its log, on SIGUSR1, how its collector of garbage is set.

Started as a program in place of :mod:`controller.cli.commands`.
"""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType

from controller.cli import commands
from controller.runtime import garbage


def _tell(_signum: int, _frame: FrameType | None) -> None:
    often = {garbage.HOST: "seldom", garbage.SERVICE: "as in service"}[gc.get_threshold()[0]]
    print(f"garbage is searched {often}; some objects stay: {gc.get_freeze_count() > 0}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    commands.main()
