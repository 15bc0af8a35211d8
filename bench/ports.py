"""Ports that are plugged: one beside others, in turns with the floor (:mod:`bench.floor`), and hundreds in one
transaction beside ovn-controller (:mod:`bench.ovn`), each on a private Open vSwitch with the dummy datapath.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.floor import floor_host
from bench.host import TIMEOUT, MeasuredHost, Timing, device, measured_host
from bench.ovn import LogicalPort, Ovn
from bench.table import Row, table
from bench.usage import processor
from bench.watch import BridgeWatch, Watcher
from tests.support.host.ovs import Device, OvsHost

_NETWORKS = 20
_HUB = "eventlet"
_FLOOR_LIMIT, _PROCESSOR_LIMIT, _SWITCHES = 1.3, 0.6, {1: 0.5, 10: 0.8}
"""What docs/performance.md is to reach: ratio to the floor, ms a port, and of OVN's on so many switches."""


def _median(timings: Sequence[Timing], name: str) -> float:
    return 1000 * statistics.median(getattr(one, name) for one in timings)


def _fill(host: MeasuredHost, first: int, last: int) -> None:
    if last > first:
        host.plug([device(number) for number in range(first + 1, last + 1)])


def _one_beside_others(sizes: Sequence[int], repetitions: int) -> Iterator[Row]:
    """In turns on two hosts, which get more and more other ports."""
    last, there, processor_first = device(max(sizes) + 1), 0, 0.0
    with measured_host(_HUB, {}, _NETWORKS, max(sizes) + 1) as (_, _, ours), floor_host(max(sizes) + 1) as floor:
        ours.follow_too(floor)
        floor.follow_too(ours)
        for others in sizes:
            found: dict[MeasuredHost, list[Timing]] = {ours: [], floor: []}
            for host in found:
                _fill(host, there, others)
            there = others
            for turn in range(2 * repetitions):
                host = (ours, floor)[(turn + turn // 2) % 2]
                found[host].append(host.plug([last]))
                host.unplug([last])
            for what, words in (("bound", "flows and tag are in place"), ("open", "it may send")):
                yield Row(
                    f"one port, {others:,} others: {words}", _median(found[ours], what), "ms",
                    _median(found[floor], what), "floor", _FLOOR_LIMIT,
                    series=f"one port, {what}", size=max(1, others), against="ports",
                )  # fmt: skip
            cpu = _median(found[ours], "cpu")
            processor_first = processor_first or cpu
            yield Row(
                f"one port, {others:,} others: processor", cpu, "ms", processor_first, f"{sizes[0]} others", None,
                series="one port, processor", size=max(1, others), against="ports",
            )  # fmt: skip


def _bulk(sizes: Sequence[int], repetitions: Callable[[int], int]) -> Iterator[Row]:
    with measured_host(_HUB, {}, _NETWORKS, max(sizes)) as (_, _, host):
        for size in sizes:
            devices, timings = [device(number) for number in range(1, size + 1)], list[Timing]()
            for _ in range(repetitions(size)):
                timings.append(host.plug(devices))
                host.unplug(devices)
            for what, words in (("open", "sending"), ("active", "ACTIVE")):
                yield Row(f"{size:,} ports at once: {words}", _median(timings, what), "ms",
                          series=f"at once, {words}", size=size, against="ports")  # fmt: skip
            yield Row(
                f"{size:,} ports at once: processor a port", _median(timings, "cpu") / size, "ms", _PROCESSOR_LIMIT,
                "limit", 1.0, series="at once, processor a port", size=size, against="ports",
            )  # fmt: skip


def _over_networks(sizes: Sequence[int], ports: int, repetitions: int) -> Iterator[Row]:
    """So many ports in one transaction, of one network and of many."""
    devices = [device(number) for number in range(1, ports + 1)]
    for networks in sizes:
        timings = []
        with measured_host(_HUB, {}, networks, ports) as (_, _, host):
            for _ in range(repetitions):
                timings.append(host.plug(devices))
                host.unplug(devices)
        what = f"{ports:,} ports at once on {networks:,} network{'s' * (networks > 1)}: sending"
        yield Row(what, _median(timings, "open"), "ms", series=f"{ports:,} ports at once, sending", size=networks,
                  against="networks")  # fmt: skip


def _ovn(size: int, switches: int, repetitions: int) -> tuple[float, float]:
    """Milliseconds from the last port's appearance until all are up, and ovn-controller's processor for each port."""
    devices = [device(number) for number in range(1, size + 1)]
    times, cpu = [], []
    with OvsHost() as ovs, Ovn(ovs) as ovn:
        for number in range(switches):
            ports = [
                LogicalPort(one.port_id or "", one.mac or "", f"10.0.{at >> 8}.{1 + at % 250}")
                for at, one in enumerate(devices)
                if at % switches == number
            ]
            ovn.make_switch(f"net{number}", ports)
        ups, bridge = ovn.watch_up(), BridgeWatch(ovs.rundir / "br-int.mgmt")

        def are_up(state: bool) -> bool:
            return all(ups.values.get(one.port_id or "", (None,))[0] is state for one in devices)

        with Watcher(ups, bridge) as watcher:
            for _ in range(repetitions):
                began = processor(ovn.controller_pid)
                ovs.plug_many(devices)
                watcher.until(lambda: are_up(True), TIMEOUT, f"{size} ports of OVN up")
                start = max(bridge.ports[one.name] for one in devices)
                times.append(1000 * (max(ups.values[one.port_id or ""][1] for one in devices) - start))
                cpu.append(1000 * (processor(ovn.controller_pid) - began) / size)
                _unplug(ovs, devices)
                watcher.until(lambda: are_up(False), TIMEOUT, f"{size} ports of OVN down")
    return statistics.median(times), statistics.median(cpu)


def _unplug(ovs: OvsHost, devices: Sequence[Device]) -> None:
    ovs.unplug(*(one.name for one in devices))


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    yield from _one_beside_others((0, 5) if small else (0, 10, 200, 1000), 2 if small else 7)
    bulks = {
        row.measure: row for row in _bulk((20,) if small else (200, 500, 2000), lambda size: 1 + 2 * (size < 1000))
    }
    yield from bulks.values()
    yield from _over_networks((1, 5) if small else (1, 10, 100), 20 if small else 200, 1 if small else 3)
    size = 20 if small else 500
    ours = bulks[f"{size} ports at once: ACTIVE"]
    for switches, reach in _SWITCHES.items():
        up, cpu = _ovn(size, switches, 1 if small else 3)
        many = f"{switches} switch{'es' * (switches > 1)}"
        yield Row(f"{size} ports at once: ACTIVE, OVN with {many}", ours.ours, "ms", up, "ovn-controller", reach)
        own = bulks[f"{size} ports at once: processor a port"].ours
        yield Row(f"{size} ports at once: processor a port, OVN with {many}", own, "ms", cpu, "ovn-controller")


if __name__ == "__main__":
    print(table(list(rows(small="--small" in sys.argv))))
