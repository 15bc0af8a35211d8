"""Multicast on hosts whose br-int snoops, with no querier: receivers of other hosts get it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from controller.config.host_options import PORT_PER_PEER
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

GROUP, PORT = "239.1.2.3", 5004
NETWORKS = {"gre": 100, "vxlan": 101, "vlan": 100}
FLOODS = '{mcast-snooping-flood="true", mcast-snooping-flood-reports="true"}'


@pytest.fixture(
    scope="module",
    params=[("false", (PORT_PER_PEER, 4)), ("true", (MIXED, 6))],
    ids=["unknown flooded", "unknown dropped"],
)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Two hosts that snoop, with a sender and a receiver on one and a receiver and a bystander on the other.

    A frame for a group that nobody has joined is flooded, or is not (``mcast-snooping-disable-flood-unregistered``).
    """
    no_flood, usual = request.param
    with Lab(usual=usual) as lab:
        for name in ("h1", "h2"):
            lab.add_host(name)
        for kind, segment in NETWORKS.items():
            network = lab.add_network(kind, kind, segment)
            for number, role in enumerate(("sender.1", "near.1", "far.2", "other.2"), 1):
                lab.add_vm(f"{kind}-{role}", network, f"10.0.0.{number}/24")
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": "gre,vxlan"}})
        for host in lab.hosts.values():
            unknown = f"other_config:mcast-snooping-disable-flood-unregistered={no_flood}"
            host.ovs.vsctl("set", "Bridge", "br-int", "mcast_snooping_enable=true", unknown)
        for vm in lab.vms.values():
            vm.plug(lab.hosts[f"h{vm.name[-1]}"])
        lab.wait_wired()
        yield lab


@contextmanager
def listening(vm: Vm) -> Iterator[socket.socket]:
    """A socket of a VM that is a member of the group."""
    with vm.namespace.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((GROUP, PORT))
        member = socket.inet_aton(GROUP) + socket.inet_aton(vm.nic.address())
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket) -> set[bytes]:
    found = set()
    try:
        while True:
            found.add(sock.recv(64))
    except BlockingIOError:
        return found


@pytest.mark.parametrize("kind", NETWORKS)
def test_receivers_of_both_hosts_get_what_is_sent(lab: Lab, kind: str) -> None:
    """That one on the sender's host has joined does not keep it from others."""
    sender, near, far = (lab.vms[f"{kind}-{role}"] for role in ("sender.1", "near.1", "far.2"))
    with ExitStack() as stack:
        sockets = {vm.name: stack.enter_context(listening(vm)) for vm in (near, far)}
        got: dict[str, set[bytes]] = {name: set() for name in sockets}
        for host in lab.hosts.values():
            wait_until(lambda h=host: GROUP in h.ovs.appctl("mdb/show", "br-int"), 20, f"{host} knows a receiver")
        with sender.namespace.inside():
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sender.nic.address()))
        sent: list[bytes] = []

        def all_have_one() -> bool:
            sent.append(f"{kind} {len(sent)}".encode())
            sock.sendto(sent[-1], (GROUP, PORT))
            for name, one in sockets.items():
                got[name] |= received(one)
            return all(got.values())

        wait_until(all_have_one, 15, lambda: f"{len(sent)} sent, got {got}")


def test_ports_to_others_flood(lab: Lab) -> None:
    """Those of the bridge that snoops, and they alone."""
    for host in lab.hosts.values():
        for name in ("patch-tun", "int-br-ex"):
            assert host.ovs.vsctl("get", "Port", name, "other_config").strip() == FLOODS
        assert host.ovs.vsctl("get", "Port", "patch-int", "other_config").strip() == "{}"
