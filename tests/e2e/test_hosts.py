"""Hosts come, go, change their address and lose the topology database, and VMs move between them: traffic follows."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import netaddr
import pytest

from scripts.processes import ProcessError
from tests.support.host.ovs import plain
from tests.support.lab.host import UNDERLAY_BRIDGE, LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

BROADCAST = "ff:ff:ff:ff:ff:ff"
OWN_PORT = "gre-of-mine"
"""A tunnel that an operator made."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two controlled hosts with a VM each, a VM that is not plugged in, and a tunnel port of the operator's on h1.

    On h1 a tunnel port is left of an earlier run, to a host that is no more.
    """
    with Lab() as lab:
        net = lab.add_network("net", "gre", 7)
        for number in (1, 2, 3):
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24", f"fd00::{number}/64")
        h1, h2 = lab.add_host("h1"), lab.add_host("h2")
        h1.ovs.vsctl("add-br", "br-tun", "--", "set", "Bridge", "br-tun", "datapath_type=netdev", "fail_mode=secure")
        gone = {4: ("gre-c00002fe", "192.0.2.254"), 6: ("gre-53c02442c3", "2001:db8::fe")}[lab.ip_version]
        for port, remote_ip in ((OWN_PORT, "198.51.100.1"), gone):
            options = ("options:in_key=flow", "options:out_key=flow", f'options:remote_ip="{remote_ip}"')
            h1.ovs.vsctl("add-port", "br-tun", port, "--", "set", "Interface", port, "type=gre", *options)
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        lab.vms["vm1"].plug(h1)
        lab.vms["vm2"].plug(h2)
        lab.wait_wired()
        lab.vms["vm1"].wait_reaches(lab.vms["vm2"])
        yield lab


@pytest.fixture
def vm1(lab: Lab) -> Vm:
    return lab.vms["vm1"]


@pytest.fixture
def vm2(lab: Lab) -> Vm:
    return lab.vms["vm2"]


def ip(lab: Lab, number: int) -> str:
    """Of a host, on the underlay."""
    return {4: f"192.0.2.{number}", 6: f"2001:db8::{number}"}[lab.ip_version]


def tunnels(host: LabHost) -> set[str]:
    """Addresses of the hosts that frames come from by tunnels of a host, those of the operator left out: by a port for
    each, or by one for all and a flow for each."""
    rows = json.loads(host.ovs.vsctl("--format=json", "--columns=name,options", "list", "Interface"))["data"]
    options = {name: plain(value) for name, value in rows if name.startswith("gre-") and name != OWN_PORT}
    addresses = {cast(dict[str, str], each)["remote_ip"] for each in options.values()}
    if addresses != {"flow"}:
        return addresses
    return set(re.findall(r"priority=11,tun_(?:ipv6_)?src=([^,]+)", "\n".join(host.ovs.dump("br-tun"))))


def wait_tunnels(host: LabHost, *addresses: str, timeout: float = 5.0) -> None:
    wait_until(lambda: tunnels(host) == set(addresses), timeout, lambda: f"{host} has {tunnels(host)}")


@contextmanager
def no_ping_lost(sender: Vm, receiver: Vm) -> Iterator[None]:
    """100 pings a second for the length of the block and a little longer, each of which is answered once.

    Those after the last answer may still be on their way; that others were answered after the block is waited for.
    """
    with tempfile.NamedTemporaryFile("w") as output:

        def answered() -> list[int]:
            return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", Path(output.name).read_text())]

        with sender.namespace.inside():
            ping = subprocess.Popen(["ping", "-n", "-i", "0.01", receiver.nic.address()], stdout=output)
        try:
            yield
            before = len(answered())
            wait_until(lambda: len(answered()) >= before + 20, 60, "pings are not answered any more")
        finally:
            ping.send_signal(signal.SIGINT)
            ping.wait(timeout=60)
        numbers = answered()
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), numbers


def test_tunnel_ports_of_earlier_runs_go_and_those_of_the_operator_stay(lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    wait_tunnels(h1, ip(lab, 2))
    assert OWN_PORT in h1.ovs.vsctl("list-ports", "br-tun").split()
    assert h1.ovs.row("Interface", OWN_PORT)["options"] == {
        "in_key": "flow",
        "out_key": "flow",
        "remote_ip": "198.51.100.1",
    }


def test_a_host_joins_and_leaves(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    """It reaches all within a second of its start; while it is silent it keeps its place, deleted it has none.

    The second is counted from when the controller answers: how long Python takes to start says nothing of it here.
    ``pytest -s`` prints how long it was from the start of the process.
    """
    vm3, h3 = lab.vms["vm3"], lab.add_host("h3")
    h3.ovs.add_bridge("br-int")
    vm3.plug(h3)
    started = time.monotonic()
    lab.start_controllers(h3)
    vm3.wait_reaches(vm1, timeout=1)
    vm3.wait_reaches(vm2, timeout=1)
    print(f"\na joining host reached all {time.monotonic() - started:.2f} s after its process was started")
    assert vm1.ping(vm3).complete

    lab.controllers["h3"].stop()
    assert vm1.ping(vm3).complete, "its flows stay"
    assert {ip(lab, 3)} < tunnels(lab.hosts["h1"])
    lab.controllers["h3"].start()
    lab.controllers["h3"].wait_ready()

    vm3.unplug()
    lab.remove_host(h3)
    assert {ip(lab, 3)} < tunnels(lab.hosts["h1"]), "it may come back"
    lab.tunbridge("host", "delete", "h3")
    wait_tunnels(lab.hosts["h1"], ip(lab, 2))
    wait_tunnels(lab.hosts["h2"], ip(lab, 1))
    assert vm1.ping(vm2).complete


def test_a_host_changes_its_address(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    """To another that it has; over IPv6 the one before goes: whatever ``local_ip`` says, the userspace datapath of Open
    vSwitch 3.1 sends from the address that the kernel prefers."""
    prefix = {4: 24, 6: 64}[lab.ip_version]

    def become(number: int, before: int) -> None:
        if lab.ip_version == 6 or number == 102:
            lab.hosts["h2"].add_address(f"{ip(lab, number)}/{prefix}")
        if lab.ip_version == 6:
            lab.hosts["h2"].namespace.ip(f"address del {ip(lab, before)}/{prefix} dev {UNDERLAY_BRIDGE}")
        lab.controllers["h2"].restart_with("ovs", local_ip=ip(lab, number))

    become(102, before=2)
    wait_tunnels(lab.hosts["h1"], ip(lab, 102))
    vm1.wait_reaches(vm2, timeout=5)
    with lab.capture_underlay(lab.hosts["h2"]) as underlay:
        assert vm1.ping(vm2).complete
        # Where a packet that has no VLAN tag has its protocol, and its source: GRE is 47.
        protocol, source = (23, slice(26, 30)) if lab.ip_version == 4 else (20, slice(22, 38))
        sources = {seen.data[source] for seen in underlay.seen() if seen.data[protocol] == 47 and not seen.outgoing}
    assert sources == {netaddr.IPAddress(ip(lab, 102)).packed}
    become(2, before=102)
    wait_tunnels(lab.hosts["h1"], ip(lab, 2))
    vm1.wait_reaches(vm2, timeout=5)


def test_the_topology_database_stops_and_nothing_changes(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    h1, h2 = hosts = lab.hosts["h1"], lab.hosts["h2"]

    def data_plane() -> list[object]:
        flows = [host.ovs.dump(bridge, cookies=True) for host in hosts for bridge in ("br-int", "br-tun", "br-ex")]
        return [*flows, *(tunnels(host) for host in hosts), h1.ovs.tag(vm1.nic.device), h2.ovs.tag(vm2.nic.device)]

    def all_without_topology() -> bool:
        statuses = [controller.quick_status() for controller in lab.controllers.values()]
        return all(status and not status["topology"]["connected"] for status in statuses)

    before = data_plane()
    with no_ping_lost(vm1, vm2):
        lab.stop_topology()
        wait_until(all_without_topology, 10, "the controllers notice")
        assert data_plane() == before
        lab.start_topology()
        for controller in lab.controllers.values():
            controller.wait_in_sync()
    assert data_plane() == before


def test_controllers_restart_and_nothing_is_lost(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    with no_ping_lost(vm1, vm2):
        for controller in lab.controllers.values():
            controller.restart()
            controller.wait_in_sync()


def test_a_vm_moves_to_another_host(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    """Who talked to it before finds it again after its first frames, without waiting for what was learned to age."""
    assert vm1.ping(vm2).complete
    h1, h2 = lab.hosts["h1"], lab.hosts["h2"]
    vm2.move(h1)
    lab.wait_wired()
    vm2.wait_found(vm1, timeout=2)
    vm2.move(h2)
    lab.wait_wired()
    vm2.wait_found(vm1, timeout=2)
    assert vm1.ping(vm2).complete


def test_a_vm_moves_between_other_hosts(lab: Lab, vm1: Vm, vm2: Vm) -> None:
    """Who talked to it finds it at once, though all that it sends from its new host is a broadcast."""
    h4 = lab.add_host("h4")
    lab.start_controllers(h4)
    assert vm1.ping(vm2).complete
    vm2.move(h4)
    lab.wait_wired()
    vm2.send(vm2.frame(BROADCAST))
    vm1.wait_reaches(vm2, timeout=5)
    vm2.move(lab.hosts["h2"])
    lab.wait_wired()
    vm2.send(vm2.frame(BROADCAST))
    vm1.wait_reaches(vm2, timeout=5)
    lab.remove_host(h4)
    lab.tunbridge("host", "delete", "h4")


@pytest.mark.parametrize("what", ["name", "address"])
def test_what_another_host_has_is_refused(lab: Lab, vm1: Vm, vm2: Vm, what: str) -> None:
    """The later one says so and ends, without a tunnel and without a flow; the earlier one goes on."""
    options, message = {
        "name": ({"DEFAULT": {"host": "h1"}}, "h1"),
        "address": ({"ovs": {"local_ip": ip(lab, 1)}}, ip(lab, 1)),
    }[what]
    late = lab.add_host("late")
    try:
        with pytest.raises(ProcessError, match=message):
            lab.start_controllers(late, options=options, check=False)
            wait_until(lambda: lab.controllers["late"].quick_status() is None, 10, "it has ended")  # asking raises then
        assert tunnels(late) == set()
        made = {"br-int", "br-tun"} & set(late.ovs.vsctl("list-br").split())
        assert {bridge: late.ovs.dump(bridge) for bridge in made} == {bridge: [] for bridge in made}
        assert vm1.ping(vm2).complete
    finally:
        lab.remove_host(late)
