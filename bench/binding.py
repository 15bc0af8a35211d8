"""How long it takes until a plugged device is on its network.

One by one beside 0 and 200 other ports, and in bulk, on a private Open vSwitch (dummy datapath) with the real
``tunbridge run``; then the commands of the original agent on the same switch. Everything is measured from outside the
controller. Figures, not assertions: docs/performance.md says what to expect.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import MeasuredHost, Timing, device, document, measured_host
from bench.neighbours import apply_document, busy
from bench.original import seconds_per_port
from bench.watch import prefer_us
from scripts.processes import ProcessError
from tests.support.host.ovs import Device
from tests.support.host.tunbridge import free_tcp_port

NETWORKS = 20
ROUNDS = 3
"""How often a neighbour has done its work before a measurement ends: most of an apply changes nothing yet."""
COLUMNS = ("bound", "flows", "tagged", "open", "active", "cpu")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how long it takes to bind ports.")
    parser.add_argument("--ports", default="50,200,500", help="sizes in bulk, comma-separated (default: %(default)s)")
    parser.add_argument(
        "--others", default="0,200", help="ports beside those plugged one by one (default: %(default)s)"
    )
    parser.add_argument("--repetitions", type=int, default=30, help="ports plugged one by one (default: %(default)s)")
    parser.add_argument(
        "--bulk-repetitions", type=int, default=3, help="times each bulk is plugged (default: %(default)s)"
    )
    parser.add_argument(
        "--commands", type=int, default=20, help="ports wired by commands; 0: none (default: %(default)s)"
    )
    parser.add_argument(
        "--beside",
        type=int,
        default=0,
        metavar="PORTS",
        help="only plug one by one: alone, beside a client that lists so many, and beside `tunbridge apply` of them",
    )
    parser.add_argument(
        "--watched",
        type=int,
        default=0,
        metavar="PORTS",
        help="only plug one by one, beside so many ports, in turns on a host that nobody watches and on one with API, "
        "page, an event stream that is read, and metrics of each port",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of that (default: %(default)s)")
    parser.add_argument(
        "--scrape", type=float, default=15.0, help="seconds between two scrapes of it (default: %(default)s)"
    )
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, in seconds, to FILE")
    arguments = parser.parse_args()
    for name in ("ports", "others"):
        try:
            setattr(arguments, name, [int(size) for size in getattr(arguments, name).split(",") if size])
        except ValueError:
            parser.error(f"--{name}: {getattr(arguments, name)!r} is no list of numbers")
    return arguments


def _one_by_one(
    host: MeasuredHost, others: int, repetitions: int, enough: Callable[[], bool] = lambda: True
) -> list[Timing]:
    """Plug and unplug so many ports, and again where that was not enough."""
    present = [device(number) for number in range(1, others + 1)]
    if present:
        host.plug(present)
    timings = []
    while not timings or not enough():
        for number in range(others + 1, others + 1 + repetitions):
            timings.append(host.plug([device(number)]))
            host.unplug([device(number)])
    if present:
        host.unplug(present)
    return timings


def _bulk(host: MeasuredHost, size: int, repetitions: int) -> list[Timing]:
    devices = [device(number) for number in range(1, size + 1)]
    timings = []
    for _ in range(repetitions):
        timings.append(host.plug(devices))
        host.unplug(devices)
    return timings


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


def _row(label: str, timings: Sequence[Timing]) -> str:
    cells = []
    for column in COLUMNS:
        values = [1000 * getattr(timing, column) for timing in timings]
        cells.append(f"{statistics.median(values):7.1f} /{_p90(values):7.1f}")
    return f"{label:<32} {len(timings):>3}  " + "  ".join(cells)


def _say(line: str) -> None:
    print(line, flush=True)


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    ports = max(
        [*arguments.ports, *(others + arguments.repetitions for others in arguments.others), arguments.commands]
    )
    results: dict[str, Any] = {}

    def record(label: str, timings: list[Timing]) -> None:
        results[label] = [{column: getattr(timing, column) for column in COLUMNS} for timing in timings]
        _say(_row(label, timings))

    with measured_host(arguments.hub, {}, NETWORKS, ports) as (ovs, tunbridge, host):
        _say(f"{'milliseconds, median / p90':<32} {'n':>3}  " + "  ".join(f"{column:>16}" for column in COLUMNS))
        for others in arguments.others:
            record(f"one by one, {others} other ports", _one_by_one(host, others, arguments.repetitions))
        for size in arguments.ports:
            record(f"{size} at once", _bulk(host, size, arguments.bulk_repetitions))
        if arguments.commands:
            tunbridge.stop()
            devices = [device(number) for number in range(1, arguments.commands + 1)]
            ovs.plug_many(devices)
            taken = seconds_per_port(ovs, devices, ovs.ofport("patch-int") or 0)
            results["commands of the original, one port"] = taken
            _say_commands(taken, arguments.ports)
            tunbridge.start()
            tunbridge.wait_in_sync(60)
    return results


def _is_enough(rounds: Callable[[], int]) -> bool:
    return rounds() >= ROUNDS


def _beside(arguments: argparse.Namespace) -> dict[str, Any]:
    """One by one, with the same topology and the same processes each time, and three kinds of neighbours."""
    results: dict[str, Any] = {}
    api = free_tcp_port()
    options = {"api": {"enabled": "true", "listen_port": api}}
    _say(f"{'milliseconds until tagged':<48} {'n':>3}  {'median':>8} {'p90':>8} {'worst':>8}  of alone")
    with (
        tempfile.TemporaryDirectory() as directory,
        measured_host(arguments.hub, options, NETWORKS, arguments.repetitions) as (_, tunbridge, host),
    ):
        documents = [Path(directory) / f"{name}.yaml" for name in ("one", "other")]
        for path in documents:
            wanted = document(NETWORKS, arguments.beside)
            for port in (port for network in wanted["networks"] for port in network["ports"]):
                port["name"] = path.stem
            path.write_text(yaml.dump(wanted, Dumper=yaml.CSafeDumper))
        apply_document(str(tunbridge.config_file), str(documents[0]))
        tunbridge.wait_in_sync(120)
        neighbours = {
            "alone": nullcontext(lambda: ROUNDS),
            f"beside a client that lists {arguments.beside} ports": busy("list", f"http://127.0.0.1:{api}/v2.0/ports"),
            f"beside `tunbridge apply` of {arguments.beside} ports": busy(
                "apply", str(tunbridge.config_file), *map(str, documents)
            ),
        }
        alone = 0.0
        for label, neighbour in neighbours.items():
            with neighbour as rounds:
                timings = _one_by_one(host, 0, arguments.repetitions, partial(_is_enough, rounds))
            results[label] = [{column: getattr(timing, column) for column in COLUMNS} for timing in timings]
            tagged = [1000 * timing.tagged for timing in timings]
            median = statistics.median(tagged)
            alone = alone or median
            _say(
                f"{label:<48} {len(tagged):>3}  {median:8.1f} {_p90(tagged):8.1f} {max(tagged):8.1f}  "
                f"{median / alone:.1f}"
            )
    return results


def _turn(host: MeasuredHost, one: Device, repetitions: int, scrapes: Callable[[], int]) -> list[Timing]:
    """Plug and unplug a device so often, and more until there were two scrapes."""
    timings: list[Timing] = []
    while len(timings) < repetitions or scrapes() < 2:
        timings.append(host.plug([one]))
        host.unplug([one])
    return timings


def _watched(arguments: argparse.Namespace) -> dict[str, Any]:
    """Two hosts with the same topology and ports, in turns; each turn on the one that is watched has two scrapes."""
    metrics, api = free_tcp_port(), free_tcp_port()
    options = {
        "api": {"enabled": "true", "listen_port": api, "page": "true"},
        "metrics": {"listen_port": metrics, "traffic": "ports", "traffic_ports": 100_000},
    }
    ports = arguments.watched + 1
    off, on = "nobody watches", "page, events and metrics"
    results: dict[str, list[Timing]] = {off: [], on: []}
    _say(f"{'milliseconds, median / p90':<32} {'n':>3}  " + "  ".join(f"{column:>16}" for column in COLUMNS))
    with (
        measured_host(arguments.hub, {}, NETWORKS, ports) as (_, _, alone),
        measured_host(arguments.hub, options, NETWORKS, ports) as (_, tunbridge, watched),
    ):
        hosts, last = {off: alone, on: watched}, device(ports)
        alone.follow_too(watched)
        watched.follow_too(alone)
        for host in hosts.values():
            host.plug([device(number) for number in range(1, ports)])
        urls = (f"http://127.0.0.1:{metrics}/metrics", f"http://127.0.0.1:{api}", str(tunbridge.config_file))
        for turn in range(arguments.rounds):
            for name in (off, on) if turn % 2 else (on, off):
                with busy("watch", *urls, str(arguments.scrape)) if name == on else nullcontext(lambda: 2) as scrapes:
                    timings = _turn(hosts[name], last, arguments.repetitions, scrapes)
                _say(_row(name, timings))
                results[name] += timings
    _say("all turns")
    for name, timings in results.items():
        _say(_row(name, timings))
    for what, of in (("medians", statistics.median), ("means", statistics.fmean)):
        values = [[of([getattr(one, column) for one in results[name]]) for column in COLUMNS] for name in (on, off)]
        ratios = "  ".join(f"{with_it / without:16.3f}" for with_it, without in zip(*values, strict=True))
        _say(f"{f'with them, of without: {what}':<36}  {ratios}")
    return {name: [{column: getattr(one, column) for column in COLUMNS} for one in of] for name, of in results.items()}


def _say_commands(taken: Sequence[float], sizes: Sequence[int]) -> None:
    median = statistics.median(taken)
    _say(
        f"commands of the original: {1000 * median:.1f} ms a port "
        f"(median of {len(taken)}, p90 {1000 * _p90(taken):.1f}); "
        "scaled, not measured: " + ", ".join(f"{size} ports {size * median:.1f} s" for size in sizes)
    )


def main() -> int:
    arguments = _arguments()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    _say(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}")
    if not prefer_us():
        _say("no real-time priority (needs root): on a busy machine the figures come out too good")
    try:
        measure = _watched if arguments.watched else _beside if arguments.beside else _measure
        results = measure(arguments)
    except (TimeoutError, ConnectionError, ProcessError, RuntimeError) as error:
        print(f"binding: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        facts = {"hub": arguments.hub, "python": platform.python_version(), "cores": os.cpu_count(), "load": load}
        arguments.json.write_text(json.dumps({**facts, "seconds": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
