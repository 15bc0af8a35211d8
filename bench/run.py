"""Everything that `make bench` measures, as one table; bench/README.md says what each measure is.

    bench/run.py --json bench.json --plot bench.svg
    bench/run.py --small --only flows,resync

Each measure is a module of this folder with a function ``rows(*, small: bool) -> Iterator[Row]``, and is run in a
process of its own, one after the other. What it had yielded before it failed, or before its time was over, counts; what
is missing is named, and the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.cost_plot import plot
from bench.table import Missing, Row, read, table, write

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Measure:
    """One process of a run.

    :param module: of this folder
    :param seconds: that it may take; all of them together take less than 12 minutes
    """

    module: str
    seconds: int


MEASURES = (
    Measure("first_frame", 110),
    Measure("ports", 200),
    Measure("flows", 50),
    Measure("resync", 80),
    Measure("busy_host", 160),
    Measure("apply", 60),
    Measure("api", 120),
    Measure("start", 130),
    Measure("cli", 60),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure everything; print one table.")
    parser.add_argument(
        "--only", default="", help=f"measures, comma-separated: {','.join(one.module for one in MEASURES)}"
    )
    parser.add_argument("--small", action="store_true", help="sizes that show that it works, and nothing else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw cost against ports, networks and flows into FILE"
    )
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # the one measure of this process writes its rows
    return parser.parse_args()


def _measure(module: str, into: Path, *, small: bool) -> None:
    """One measure in this process; what it has is written each time that it has more."""
    rows: list[Row] = []
    for row in importlib.import_module(f"bench.{module}").rows(small=small):
        rows.append(row)
        write(into, rows, ())


def _run(measure: Measure, directory: Path, *, small: bool) -> tuple[list[Row], list[Missing]]:
    """One measure in a process of its own."""
    name, into = measure.module, directory / f"{measure.module}.json"
    argv = [__file__, "--only", name, "--into", str(into), *(["--small"] if small else [])]
    missing = []
    process = subprocess.Popen([sys.executable, "-W", "ignore", *argv], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        _, errors = process.communicate(timeout=measure.seconds)
        if process.returncode:
            missing.append(Missing(name, (errors.strip().splitlines() or [f"status {process.returncode}"])[-1]))
    except subprocess.TimeoutExpired:
        missing.append(Missing(name, f"not within {measure.seconds} s"))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it ends what it has started
            process.communicate()
    rows = read(into.read_text()) if into.exists() else []
    if not rows and not missing:
        missing.append(Missing(name, "it has told nothing"))
    return rows, missing


def main() -> int:
    """All measures that are asked for."""
    arguments = _arguments()
    only = [name for name in arguments.only.split(",") if name]
    if arguments.into is not None:
        _measure(only[0], arguments.into, small=arguments.small)
        return 0
    if unknown := set(only) - {one.module for one in MEASURES}:
        print(f"no such measure: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    began, rows, missing = time.monotonic(), list[Row](), list[Missing]()
    with tempfile.TemporaryDirectory() as directory:
        for measure in MEASURES:
            if not only or measure.module in only:
                since = time.monotonic()
                found, lacking = _run(measure, Path(directory), small=arguments.small)
                rows, missing = rows + found, missing + lacking
                print(f"{measure.module}: {len(found)} rows in {time.monotonic() - since:.0f} s", file=sys.stderr)
    facts = {"python": platform.python_version(), "cores": os.cpu_count(), "load": load, "small": arguments.small}
    print(f"Python {facts['python']}, {facts['cores']} cores, load {load}, {time.monotonic() - began:.0f} s\n")
    print(table(rows, missing))
    if arguments.json:
        write(arguments.json, rows, missing, **facts)
    if arguments.plot:
        arguments.plot.write_text(plot(rows))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
