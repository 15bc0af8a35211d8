"""What processes take: processor, memory, and what they send on their TCP connections."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

Usage = Mapping[str, float]
"""Name of a figure → how much of it so far, between two moments, in a second, or for a change."""


def since(now: Usage, before: Usage) -> Usage:
    """The difference."""
    return {name: value - before[name] for name, value in now.items()}


def scaled(usage: Usage, factor: float) -> Usage:
    """Each figure times a number."""
    return {name: value * factor for name, value in usage.items()}


def mean(usages: Collection[Usage]) -> Usage:
    """The mean of each figure."""
    return {name: sum(one[name] for one in usages) / len(usages) for name in next(iter(usages))}


def processor(pid: int) -> float:
    """Seconds of processor that the threads of a process took so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int) -> float:
    """MB that a process has in use."""
    return _megabytes(Path(f"/proc/{pid}/status"), "VmRSS")


def memory_left() -> float:
    """MB that the machine has for more."""
    return _megabytes(Path("/proc/meminfo"), "MemAvailable")


def _megabytes(file: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def sent(pids: Iterable[int], ports: Collection[int] | None = None) -> tuple[int, int]:
    """Bytes, and TCP segments with data, that processes have sent on the connections that stand.

    Who sends message by message sends about as many segments as messages.

    :param ports: count only connections that have one of these at this end
    """
    wanted, total, segments = set(pids), 0, 0
    for line in subprocess.run(["ss", "-tinpHO"], capture_output=True, text=True, check=True).stdout.splitlines():
        process = re.search(r"\bpid=(\d+)", line)
        if process is None or int(process[1]) not in wanted:
            continue
        if ports is None or int(line.split()[3].rpartition(":")[2]) in ports:
            total += _counted(line, "bytes_sent")
            segments += _counted(line, "data_segs_out")
    return total, segments


def _counted(line: str, name: str) -> int:
    found = re.search(rf"\b{name}:(\d+)", line)
    return int(found[1]) if found else 0
