"""Network devices that come while frames go between hosts, with no controller: what Open vSwitch loses by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, Stream

DEVICES = 20
"""On each host."""

PAUSE = 0.2
"""Seconds from one device to the next: the loss of one is over by then."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """a and b on one host, c on another; br-int switches by itself, and has a tunnel to the other host's."""
    with Lab() as lab:
        one, other = lab.add_host("h1"), lab.add_host("h2")
        network = lab.add_network("net", "local")
        for host, peer in ((one, other), (other, one)):
            host.ovs.add_bridge("br-int")
            options = ("type=vxlan", f"options:remote_ip={peer.tunnel_ip()}")
            host.ovs.vsctl("add-port", "br-int", "vx0", "--", "set", "Interface", "vx0", *options)
        for number, (name, host) in enumerate((("a", one), ("b", one), ("c", other)), 1):
            lab.add_vm(name, network, f"10.0.0.{number}/24").plug(host)
        for name in "bc":
            lab.vms["a"].wait_reaches(lab.vms[name])
        yield lab


def make(host: LabHost, device: str) -> None:
    """A veth pair, set up as a hypervisor does; Open vSwitch sets ``promisc`` itself where it is not."""
    host.namespace.ip(f"link add {device} type veth peer name o-{device}", f"link set o-{device} up")
    host.namespace.ip(f"link set {device} promisc on up")


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "prefix"), [("made before", "early"), ("made meanwhile", "late"), ("made by Open vSwitch", "own")]
)
def test_what_is_lost_when_devices_come(lab: Lab, kind: str, prefix: str) -> None:
    """Frames of one host never; those of tunnels only where a device is made, which is not ours to mend: printed.

    For each device that comes, or is set up, Open vSwitch with the userspace datapath learns its routes anew.
    """
    a, b, c = lab.vms.values()
    on_host, by_tunnel = [Stream(a, (b,)), Stream(b, (a,))], [Stream(a, (c,)), Stream(c, (a,))]
    devices = [(host, f"{prefix}{number}") for number in range(DEVICES) for host in lab.hosts.values()]
    if kind == "made before":
        for host, device in devices:
            make(host, device)
        time.sleep(1)  # until Open vSwitch has heard of them
    with Probe(lab, [*on_host, *by_tunnel]) as probe:
        for host, device in devices:
            if kind == "made meanwhile":
                make(host, device)
            internal = ("--", "set", "Interface", device, "type=internal") if kind == "made by Open vSwitch" else ()
            host.ovs.vsctl("add-port", "br-int", device, *internal)
            time.sleep(PAUSE)
        result = probe.stop()
    for host, device in devices:
        host.ovs.vsctl("del-port", "br-int", device)
    arrivals = {arrival.stream: arrival for arrival in result.arrivals}
    lost = sum(arrivals[stream].lost for stream in by_tunnel)
    rows = [loss.frames for stream in by_tunnel for loss in arrivals[stream].losses]
    print(f"{kind}: {len(devices)} devices, {2 * result.sent} frames by tunnels, {lost} lost, in a row {rows}")
    assert [arrivals[stream].lost for stream in on_host] == [0, 0], result.table()
    assert result.duplicated == 0 and not result.machine, result.table()
    if kind == "made before":
        assert lost == 0, result.table()
