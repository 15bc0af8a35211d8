"""VLAN and flat networks on physical bridges: the patch, the flows, the frames, and bridges that come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden import Golden
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import DEAD_VLAN
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.trace import trace
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

OTHER_CONTROLLER = "tcp:127.0.0.1:1"
FOREIGN_FLOWS = (
    "cookie=0xf1,priority=100,dl_type=0x88cc,actions=drop",
    "cookie=0xf1,priority=3,in_port=1,dl_vlan=666,actions=drop",
    "cookie=0xf1,priority=2,in_port=9,actions=drop",
    "cookie=0,priority=0,actions=normal",
)
PEER = "fa:16:3e:00:00:01"
"""A device on another host."""
BROADCAST = "ff:ff:ff:ff:ff:ff"


def network(number: int, kind: str, physical_network: str | None = None, segment: int | None = None) -> dict[str, Any]:
    """An element of a document, with one port."""
    provider = {"network_type": kind, "physical_network": physical_network, "segmentation_id": segment}
    return {
        "id": f"{number:08x}-0000-4000-8000-0000000000aa",
        **{f"provider:{name}": value for name, value in provider.items() if value is not None},
        "ports": [{"id": port_id(number), "mac_address": mac(number)}],
    }


def port_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-0000000000bb"


def mac(number: int) -> str:
    return (0xFA163E000100 + number).to_bytes(6, "big").hex(":")


NETWORKS = {
    "tap-vlan": network(1, "vlan", "physnet1", 101),
    "tap-flat": network(2, "flat", "physnet1"),
    "tap-dc": network(3, "vlan", "physnet2", 101),
    "tap-gre": network(4, "gre", segment=101),
    "tap-local": network(5, "local"),
}
"""Device → its network; the devices are plugged in this order, and their local VLANs are 1 to 5."""


class Host:
    """A host and its controller."""

    def __init__(self, ovs: OvsHost, tunbridge: Tunbridge) -> None:
        self.ovs = ovs
        self.tunbridge = tunbridge

    def plug(self, device: str, number: int) -> int:
        """Plug a device and wait until it is up; its local VLAN."""
        self.ovs.plug(device, port_id(number), mac(number))
        vlan: int = self.tunbridge.wait_device(device, status="ACTIVE", reason=None)["vlan"]
        return vlan

    def wait_problems(self, *expected: str) -> None:
        """Wait until ``status`` tells of these problems and no others."""
        wait_until(
            lambda: self.tunbridge.quick_status().get("problems") == list(expected),
            10,
            lambda: f"problems {expected}: {self.tunbridge.quick_status()}\n{self.tunbridge.log_tail()}",
        )

    def wait_dump(self, bridge: str, expected: Callable[[], list[str]]) -> None:
        """Wait until a bridge has exactly these flows."""
        wait_until(
            lambda: self.ovs.dump(bridge) == expected(),
            10,
            lambda: f"{bridge}: {expected()}, not {self.ovs.dump(bridge)}\n{self.tunbridge.log_tail()}",
        )

    def reached(self, bridge: str, device: str, flow: str) -> Mapping[str, tuple[int, ...]]:
        """Who gets a frame from a device, with which tags; the bridges' own devices, which are trunks, left out."""
        deliveries = trace(self.ovs, bridge, f"in_port={self.ovs.ofport(device)},{flow}").deliveries
        return {name: tags for name, tags in deliveries.items() if not name.startswith("br-")}


def wait_joined(ovs: OvsHost, int_port: str) -> None:
    """Wait until Open vSwitch has joined a patch, which is made when the flows at both ends are confirmed."""

    def is_joined() -> bool:
        if int_port not in ovs.vsctl("list-ports", "br-int").split():
            return False
        row = ovs.row("Interface", int_port)
        return row["error"] is None and row["options"] == {"peer": int_port.replace("int-", "phy-", 1)}

    wait_until(is_joined, 10, lambda: ovs.vsctl("show"))


@pytest.fixture(scope="module")
def wired(hub: str) -> Iterator[Host]:
    """A host on two physical networks, of which a third one's bridge is missing; br-ex has been another agent's."""
    with OvsHost() as ovs:
        ovs.vsctl(
            *("--", "add-br", "br-int", "--", "add-br", "br-ex", "--", "add-port", "br-ex", "eth1"),
            *("--", "set-controller", "br-ex", OTHER_CONTROLLER),
            *("--", "add-br", "br-dc", "--", "add-port", "br-dc", "eth2"),
        )
        for bridge, port, peer in (("br-int", "int-br-ex", "phy-br-ex"), ("br-int", "patch-tun", "patch-int")):
            # One by one, for ofports that are the same in every run.
            ovs.vsctl("add-port", bridge, port, "--", "set", "Interface", port, "type=patch", f"options:peer={peer}")
        for flow in FOREIGN_FLOWS:
            ovs.ofctl("add-flow", "br-ex", flow)
        mappings = "physnet1:br-ex,physnet2:br-dc,physnet3:br-missing"
        options = {"ovs": {"bridge_mappings": mappings, "local_ip": "192.0.2.1"}}
        with Tunbridge(ovs, hub=hub, options=options) as tunbridge:
            host = Host(ovs, tunbridge)
            for patch in ("int-br-ex", "int-br-dc"):  # before there are devices, for ofports that are always the same
                wait_joined(ovs, patch)
            tunbridge.apply({"networks": list(NETWORKS.values())})
            vlans = [host.plug(device, number) for number, device in enumerate(NETWORKS, 1)]
            assert vlans == [1, 2, 3, 4, 5]
            yield host


@pytest.fixture
def host(wired: Host, report_logs: list[Path]) -> Host:
    report_logs += [wired.tunbridge.log, *wired.ovs.logs]
    return wired


@pytest.mark.parametrize("bridge", ["br-int", "br-ex", "br-dc"])
def test_tables_are_those_of_the_specification(host: Host, golden: Golden, bridge: str) -> None:
    """Both ends of each patch translate what this host has ports of, and drop the rest; flows of others stay."""
    golden.check(f"physical-{bridge}.flows", host.ovs.dump(bridge))
    assert host.tunbridge.flows(bridge, "diff") == []


def test_bridges_are_joined_and_stay_the_operators(host: Host) -> None:
    """A patch pair each; a physical bridge keeps its other controllers beside ours."""
    for bridge in ("br-ex", "br-dc"):
        for on, port, peer in (
            ("br-int", f"int-{bridge}", f"phy-{bridge}"),
            (bridge, f"phy-{bridge}", f"int-{bridge}"),
        ):
            row = host.ovs.row("Interface", port)
            assert (row["type"], row["options"], row["error"]) == ("patch", {"peer": peer}, None)
            assert host.ovs.vsctl("port-to-br", port).strip() == on
            assert host.ovs.tag(port) is None
    ours = f"tcp:127.0.0.1:{host.tunbridge.of_port}"
    assert sorted(host.ovs.vsctl("get-controller", "br-ex").split()) == sorted([OTHER_CONTROLLER, ours])
    assert host.ovs.vsctl("get-controller", "br-dc").split() == [ours]


def test_a_missing_bridge_is_named_and_harms_nobody(host: Host) -> None:
    """Log and status say which physical network is cut off; the host is not in sync, and all else is."""
    host.tunbridge.wait_log("bridge br-missing does not exist: nothing of physical network physnet3")
    host.wait_problems("physical network physnet3: bridge br-missing does not exist")
    status = host.tunbridge.status()
    assert not status["in_sync"]
    assert status["bridges"]["br-missing"]["datapath_id"] is None
    assert {name for name, bridge in status["bridges"].items() if bridge["connected"]} == {
        *("br-int", "br-tun", "br-ex", "br-dc")
    }
    assert host.ovs.vsctl("list-br").split() == ["br-dc", "br-ex", "br-int", "br-tun"]


@pytest.mark.parametrize("destination", [BROADCAST, PEER], ids=["broadcast", "unicast"])
@pytest.mark.parametrize(
    ("device", "reached"),
    [("tap-vlan", {"eth1": (101,)}), ("tap-flat", {"eth1": ()}), ("tap-dc", {"eth2": (101,)}), ("tap-local", {})],
)
def test_a_frame_leaves_by_its_own_wire(
    host: Host, device: str, reached: dict[str, tuple[int, ...]], destination: str
) -> None:
    """With the segmentation id of a VLAN network, untagged on a flat one, and of a local network not at all."""
    assert host.reached("br-int", device, f"dl_src=fa:16:3e:00:01:01,dl_dst={destination}") == reached


@pytest.mark.parametrize(
    ("wire", "tag", "reached"),
    [
        ("eth1", 101, {"tap-vlan": ()}),
        ("eth1", None, {"tap-flat": ()}),
        ("eth2", 101, {"tap-dc": ()}),
        *((wire, tag, {}) for wire in ("eth1", "eth2") for tag in (1, 2, 3, 4, 5, 102, 4094)),
        ("eth1", 666, {}),
        ("eth2", None, {}),
    ],
)
def test_a_frame_enters_its_own_network(
    host: Host, wire: str, tag: int | None, reached: dict[str, tuple[int, ...]]
) -> None:
    """By its tag on that wire alone: what has another tag, local VLANs of this host among them, gets nowhere."""
    tagged = f",dl_vlan={tag}" if tag is not None else ""
    bridge = {"eth1": "br-ex", "eth2": "br-dc"}[wire]
    assert host.reached(bridge, wire, f"dl_src={PEER},dl_dst={BROADCAST}{tagged}") == reached


def test_an_unmapped_physical_network(host: Host) -> None:
    """A port of it is not bound, and stays dead; status and log say what is missing where."""
    host.tunbridge.apply({"networks": [network(9, "vlan", "physnet9", 101)]})
    host.ovs.plug("tap-unmapped", port_id(9), mac(9))
    reason = "physical network physnet9 is not in [ovs] bridge_mappings of this host"
    try:
        state = host.tunbridge.wait_device("tap-unmapped", status="DOWN", reason=reason, vlan=None)
        wait_until(lambda: host.ovs.tag("tap-unmapped") == DEAD_VLAN, 10, "tap-unmapped is dead")
        drop = f"priority=2,in_port={state['ofport']} actions=drop"
        wait_until(lambda: drop in host.ovs.dump("br-int"), 10, drop)
        host.tunbridge.wait_log(f"device tap-unmapped (port {port_id(9)}) is not bound: {reason}")
    finally:
        host.ovs.unplug("tap-unmapped")
        wait_until(lambda: not host.tunbridge.device("tap-unmapped"), 10, "tap-unmapped is gone")


def test_a_restart_changes_nothing(host: Host) -> None:
    """No flow-mod, no row; flows of others are still there."""
    bridges = ("br-int", "br-tun", "br-ex", "br-dc")
    flows, versions = [host.ovs.dump(bridge, cookies=True) for bridge in bridges], host.ovs.port_versions()
    host.tunbridge.restart()
    for device in NETWORKS:
        host.tunbridge.wait_device(device, status="ACTIVE")
    host.wait_problems("physical network physnet3: bridge br-missing does not exist")
    status = host.tunbridge.quick_status()
    assert [bridge["flows"]["drift"] for bridge in status["bridges"].values()] == [0] * 5
    assert set(status["counters"].values()) == {0}
    assert host.ovs.port_versions() == versions
    assert [host.ovs.dump(bridge, cookies=True) for bridge in bridges] == flows


def test_bridges_that_come_and_go(ovs: OvsHost, hub: str, report_logs: list[Path]) -> None:
    """Bridges with long names appear one after the other, one goes and comes back, and in the end both are taken out of
    the mappings; a port on a tunnelled network notices nothing of it."""
    patches = {"br-provider1": "br-prcebb81", "br-provider2": "br-pr6e8b65"}
    mappings = {"ovs": {"bridge_mappings": "physnet1:br-provider1,physnet2:br-provider2"}}
    normal, drop_all = "priority=1 actions=NORMAL", "priority=1 actions=drop"
    missing = {f"physnet{number}": f"physical network physnet{number}: bridge br-provider{number} does not exist"
               for number in (1, 2)}  # fmt: skip
    with Tunbridge(ovs, hub=hub, options=mappings) as tunbridge:
        report_logs.append(tunbridge.log)
        host = Host(ovs, tunbridge)
        tunbridge.apply({"networks": list(NETWORKS.values())})
        host.wait_problems(missing["physnet1"], missing["physnet2"])
        vlan, gre = host.plug("tap-vlan", 1), host.plug("tap-gre", 4)
        types = ("dl_type=0x9100", "dl_type=0x9200", "dl_type=0x9300", "vlan_tci=0x1000/0x1000")
        no_tags = [f"priority=5,in_port={ovs.ofport('tap-vlan')},{tag} actions=drop" for tag in types]
        assert ovs.dump("br-int") == [*no_tags, normal]
        before = ovs.port_versions()["tap-gre"], ovs.dump("br-tun")
        assert len(before[1]) == 4
        assert host.reached("br-int", "tap-vlan", f"dl_src={mac(1)},dl_dst={BROADCAST}") == {}

        def on_br_int() -> list[str]:
            """Flows of br-int while br-provider1 is there."""
            port = ovs.ofport(f"int-{patches['br-provider1']}")
            load = f"load:{vlan:#x}->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL"
            return [
                *no_tags,
                f"priority=3,in_port={port},dl_vlan=101 actions={load}",
                f"priority=2,in_port={port} actions=drop",
                normal,
            ]

        for number in (1, 2):  # made, and made again
            ovs.vsctl("add-br", "br-provider1", "--", "add-port", "br-provider1", "eth1")
            host.wait_problems(missing["physnet2"])
            wait_joined(ovs, f"int-{patches['br-provider1']}")
            host.wait_dump("br-int", on_br_int)
            tunbridge.wait_log("bridge br-provider1 connected")
            wait_until(lambda: len(ovs.dump("br-provider1")) == 4, 10, "flows of br-provider1")
            assert host.reached("br-int", "tap-vlan", f"dl_src={mac(1)},dl_dst={BROADCAST}") == {"eth1": (101,)}
            assert host.reached("br-provider1", "eth1", f"dl_src={PEER},dl_vlan=101,dl_dst={mac(1)}") == {
                "tap-vlan": ()
            }
            ovs.vsctl("del-br", "br-provider1")
            host.wait_problems(missing["physnet1"], missing["physnet2"])
            line = "bridge br-provider1 does not exist: nothing of physical network physnet1"
            assert tunbridge.log_text().count(line) == 1 + number
            assert host.reached("br-int", "tap-vlan", f"dl_src={mac(1)},dl_dst={BROADCAST}") == {}
        for name in patches:
            ovs.vsctl("add-br", name, "--", "add-port", name, f"eth-{name[-1]}")
        tunbridge.wait_in_sync()
        for name, short in patches.items():
            wait_joined(ovs, f"int-{short}")
            assert ovs.row("Interface", f"int-{short}")["options"] == {"peer": f"phy-{short}"}
            assert ovs.vsctl("port-to-br", f"phy-{short}").strip() == name
        assert "No usable peer 'nonexistent-peer'" not in tunbridge.log_text()  # to be joined soon is no fault
        assert (ovs.port_versions()["tap-gre"], ovs.dump("br-tun")) == before
        assert tunbridge.device("tap-gre")["vlan"] == gre

    lab = ("--", "set", "Interface", "int-lab", "type=patch", "options:peer=lab")  # an operator's, by its peer
    ovs.vsctl("add-port", "br-int", "int-lab", *lab)
    with Tunbridge(ovs, hub=hub) as tunbridge:
        report_logs.append(tunbridge.log)
        tunbridge.wait_in_sync()
        left = ovs.vsctl("list-ports", "br-int").split()
        assert sorted(left) == ["int-lab", "patch-tun", "tap-gre", "tap-vlan"]
        assert [ovs.vsctl("list-ports", name).split() for name in patches] == [["eth-1"], ["eth-2"]]
        assert ovs.dump("br-tun") == [drop_all]
