"""How long commands take that only ask, from start to end, beside the start of Python alone.

On a private Open vSwitch (dummy datapath), with few ports and with many: ``status`` asks the switch for all flows.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import device, measured_host
from bench.table import Row, table
from tests.support.host.tunbridge import ROOT, Tunbridge

_FEW, _NETWORKS = 5, 5
_LIMIT = 150.0  # ms
_STATUSES = (0, 3)
_COMMANDS = (("flows", "br-int"), ("events",), ("explain", device(1).name))


def _milliseconds(argv: Sequence[str], repetitions: int) -> float:
    """Median of a command's runs; one before them writes what Python keeps of modules."""
    taken = []
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        taken.append(1000 * (time.perf_counter() - began))
        if done.returncode not in _STATUSES:
            raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr}")
    return statistics.median(taken[1:])


def _program() -> list[str]:
    """``tunbridge`` as it is installed beside this Python, or else its module."""
    installed = Path(sys.executable).with_name("tunbridge")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "controller.cli.commands"]


def _asking(tunbridge: Tunbridge, ports: int, commands: Sequence[Sequence[str]], repetitions: int) -> Iterator[Row]:
    bare = _milliseconds([sys.executable, "-c", "pass"], repetitions)
    for words in (("status",), ("status", "--json")):
        taken = _milliseconds([*_program(), "--config-file", str(tunbridge.config_file), *words], repetitions)
        yield Row(f"tunbridge {' '.join(words)}, {ports:,} ports", taken, "ms", _LIMIT, "limit", 1.0)
    for words in commands:
        taken = _milliseconds([*_program(), "--config-file", str(tunbridge.config_file), *words], repetitions)
        yield Row(f"tunbridge {' '.join(words)}, {ports:,} ports", taken, "ms", bare, "python -c pass")


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    repetitions, many = (1, 20) if small else (7, 1000)
    with measured_host("eventlet", {}, _NETWORKS, many) as (_, tunbridge, host):
        host.plug([device(number) for number in range(1, _FEW + 1)])
        tunbridge.wait_in_sync(60)
        yield from _asking(tunbridge, _FEW, (*_COMMANDS, ("--version",), ("--help",)), repetitions)
        host.plug([device(number) for number in range(_FEW + 1, many + 1)])
        tunbridge.wait_in_sync(60)
        yield from _asking(tunbridge, many, _COMMANDS[:1], repetitions)


if __name__ == "__main__":
    print(table(list(rows(small="--small" in sys.argv))))
