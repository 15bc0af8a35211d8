"""The command line with a wall clock that can be set: ``python -m tests.support.host.wrong_clock …``.

All that the process asks of the time of day, libraries included, is off by the seconds that the file named by
``WRONG_CLOCK`` holds at that moment. The monotonic clock is as it is: so it is when NTP or an operator sets the time.
(libfaketime, which does the same for programs in C, breaks time.sleep() of Python 3.11.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def _shifted(clock: Callable[[], float]) -> Callable[[], float]:
    file = Path(os.environ["WRONG_CLOCK"])
    return lambda: clock() + float(file.read_text() or "0")


def main() -> None:
    time.time = _shifted(time.time)
    time.time_ns = lambda: int(time.time() * 1e9)

    from controller.cli.commands import main as cli

    cli()


if __name__ == "__main__":
    main()
