"""What one more port costs the agent: as much beside a thousand bound ports as beside ten.

Counted are the calls of functions, Python's and C's, and the bytes that are held at most beside what was held before,
so that neither a loop over all ports nor a copy of all of them goes unseen.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from controller.agent.tunnels.tunnel_plan import TunnelOptions
from controller.openflow.channel.session import Session
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.tagging import wired
from tests.support.host.deciding import DATAPATHS, NET, SERIALS, DecidingHost, device, devices
from topology.model import Host as TopologyHost
from topology.model import Port, PortStatus
from topology.source import TopologyBatch

FEW, MANY = 10, 1000


@dataclass(frozen=True)
class Work:
    """What a step took."""

    calls: int
    bytes: int


def port(number: int) -> Port:
    return Port(
        f"{number:08x}-0000-4000-8000-000000000001", NET.id, f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}"
    )


def plugged(number: int, *, tagged: bool = False) -> Any:
    tagging = wired(NET, 1)
    more = {"tag": tagging.tag, "other_config": dict(tagging.wiring)} if tagged else {}
    return device(name=f"tap{number}", port_name=f"tap{number}", iface_id=port(number).id, attached_mac=None, **more)


def work(step: Callable[[], None]) -> Work:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    sys.setprofile(count)
    try:
        step()
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return Work(calls, peak - before)


class Host:
    """A host on which some ports are up."""

    def __init__(self, ports: int) -> None:
        self.host = DecidingHost()
        numbers = range(1, ports + 1)
        known = {port(number).id: port(number) for number in range(1, ports + 10)}
        batch = {f"tap{number}": plugged(number, tagged=True) for number in numbers}
        self.host.step(
            VSwitchBatch(True, batch, DATAPATHS, layout=True, serials=SERIALS),
            TopologyBatch(True, networks={NET.id: NET}, ports=known),
        )
        self.session: Session = self.host.connect("br-int", *((f"tap{number}", number) for number in numbers))
        self.host.connect("br-tun", ("patch-int", 1))
        self.host.confirm()
        assert self.host.snapshot.active == ports

    def life(self, number: int) -> None:
        """A port from its plugging to its end, each event by itself, as they mostly come."""
        host = self.host
        host.step(devices(plugged(number)))
        host.seen(self.session, f"tap{number}", number)
        host.confirm()
        host.step(devices(plugged(number, tagged=True)))
        host.confirm()
        up = Port(port(number).id, NET.id, port(number).mac_address, host="host1", status=PortStatus.ACTIVE)
        assert host.device(up.id).status is PortStatus.ACTIVE
        host.step(TopologyBatch(False, ports={up.id: up}))
        host.step(VSwitchBatch(False, {f"tap{number}": None}, DATAPATHS, serials=SERIALS))
        host.seen(self.session, f"tap{number}", number, present=False)
        host.step(TopologyBatch(False, ports={up.id: port(number)}))
        assert up.id not in host.snapshot.devices


@pytest.fixture
def measured() -> Iterator[Callable[[int], Work]]:
    hosts = []

    def measure(ports: int) -> Work:
        made = Host(ports)
        hosts.append(made)
        made.life(ports + 1)  # what is made once is made
        return work(lambda: made.life(ports + 2))

    yield measure
    for made in hosts:
        made.host.close()


def test_one_more_port(measured: Callable[[int], Work]) -> None:
    measured(FEW)  # what is made once in a process is made
    few, many = measured(FEW), measured(MANY)
    assert many.calls < 1.05 * few.calls, (few, many)
    assert many.bytes < few.bytes + 8 * MANY, (few, many)  # a list of all is 8 kB, a dict of all 36 kB


def test_one_more_host() -> None:
    """All hosts are looked at again when one comes: at each with a few calls, and without reading its address anew."""

    def other(number: int) -> TopologyHost:
        return TopologyHost(
            f"other{number}", (f"198.18.{number // 250}.{number % 250 + 1}",), ("gre",), instance=port(number).id
        )

    def calls(others: int) -> int:
        with closing(DecidingHost(tunnels=TunnelOptions("203.0.113.1", only_needed=True))) as host:
            hosts = {other(number).name: other(number) for number in range(others)}
            host.step(VSwitchBatch(True, {}, DATAPATHS, layout=True, serials=SERIALS), TopologyBatch(True, hosts=hosts))
            host.connect("br-int")
            host.connect("br-tun", ("patch-int", 1))
            host.confirm()
            new = other(others)
            return work(lambda: host.step(TopologyBatch(False, hosts={new.name: new}))).calls

    each = (calls(MANY) - calls(FEW)) / (MANY - FEW)
    assert each < 40, each
