"""The reference host, end to end: the real command line, the real switch, and the tables and frames that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import reference
from tests.support.golden import Golden
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.trace import Trace, trace
from tests.support.reference import DEVICES, DHCP, GATEWAY, VM

GRE = "gre-by-hand"
PEER = "fa:16:3e:00:00:01"
"""A device on another host of the network."""
STRANGER = "fa:16:3e:00:00:99"
"""No device at all."""
BROADCAST = "ff:ff:ff:ff:ff:ff"
ON_BR_INT = {"br-int": (reference.LOCAL_VLAN,)}
"""The bridge's own device is a trunk: it shows the one tag that a frame has on br-int."""
UNTAGGED_TO_ALL = {GATEWAY.name: (), DHCP.name: (), VM.name: ()}


@pytest.fixture(scope="module")
def ovs(hub: str) -> Iterator[OvsHost]:
    """The reference host's Open vSwitch, for all tests of this file: none of them changes what another looks at."""
    with OvsHost() as host:
        reference.reference_host(host)
        yield host


@pytest.fixture(scope="module")
def controller(ovs: OvsHost, hub: str) -> Iterator[Tunbridge]:
    """``tunbridge run`` and ``tunbridge apply examples/demo.yaml`` on it, and a tunnel made by hand."""
    with Tunbridge(ovs, hub=hub) as controller:
        controller.apply(reference.DOCUMENT)
        for device in DEVICES:
            controller.wait_device(device.name, status="ACTIVE")
        options = ("options:remote_ip=192.0.2.2", "options:in_key=flow", "options:out_key=flow")
        ovs.vsctl("add-port", "br-tun", GRE, "--", "set", "Interface", GRE, "type=gre", *options)
        yield controller


@pytest.fixture(autouse=True)
def _logs(controller: Tunbridge, report_logs: list[Path]) -> None:
    report_logs.append(controller.log)


def from_tunnel(ovs: OvsHost, flow: str, tunnel_id: int = reference.TUNNEL_ID) -> Trace:
    return trace(ovs, "br-tun", f"in_port={ovs.ofport(GRE)},tun_id={tunnel_id},dl_src={PEER},{flow}")


def test_ofports_are_those_of_the_specification(ovs: OvsHost, controller: Tunbridge) -> None:
    """The devices keep 1, 2 and 5, and the patch ports that the controller makes are 6 and 1."""
    ofports = {name: ovs.ofport(name) for name in (*reference.OFPORTS, "patch-tun", "patch-int")}
    assert ofports == {
        **reference.OFPORTS,
        "patch-tun": reference.PATCH_TUN_OFPORT,
        "patch-int": reference.PATCH_INT_OFPORT,
    }


@pytest.mark.parametrize(("bridge", "flows"), [("br-tun", 6), ("br-int", 1)])
def test_tables_are_exactly_those_of_the_specification(
    ovs: OvsHost, controller: Tunbridge, golden: Golden, bridge: str, flows: int
) -> None:
    """br-tun has six flows and br-int one, and ``tunbridge flows`` shows what ovs-ofctl does."""
    installed = ovs.dump(bridge)
    assert len(installed) == flows
    golden.check(f"reference-{bridge}.flows", installed)
    assert controller.flows(bridge, "installed") == installed
    assert controller.flows(bridge, "desired") == installed
    assert controller.flows(bridge, "diff") == []


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_devices_are_tagged_as_neutrons_agent_tags_them(ovs: OvsHost, controller: Tunbridge, device: Device) -> None:
    """Local VLAN 1, and in other_config the keys and spellings by which Neutron's agent knows its own work."""
    row = ovs.row("Port", device.name)
    assert row["tag"] == reference.LOCAL_VLAN
    assert row["other_config"] == {
        "net_uuid": reference.NETWORK_ID,
        "network_type": "gre",
        "physical_network": "None",
        "segmentation_id": str(reference.TUNNEL_ID),
        "tag": str(reference.LOCAL_VLAN),
    }


def test_ports_are_active_in_the_topology(controller: Tunbridge) -> None:
    """The three ports are claimed by this host and ACTIVE."""
    ports = controller.topology_ports()
    states = {port_id: (row["host"], row["status"]) for port_id, row in ports.items()}
    assert states == {device.port_id: ("host1", "ACTIVE") for device in DEVICES}


def test_status_has_its_documented_shape(ovs: OvsHost, controller: Tunbridge) -> None:
    """What black-box users read of ``tunbridge status --json``, value by value."""
    status = controller.status()
    assert (status["host"], status["in_sync"], status["tunnels"]) == ("host1", True, [])
    assert status["topology"] == {"connection": controller.topology, "connected": True}
    shown = {
        name: {key: bridge[key] for key in ("datapath_id", "connected", "flows")}
        for name, bridge in status["bridges"].items()
    }
    assert shown == {
        name: {
            "datapath_id": ovs.row("Bridge", name)["datapath_id"],
            "connected": True,
            "flows": {"desired": flows, "installed": flows, "drift": 0},
        }
        for name, flows in (("br-int", 1), ("br-tun", 6))
    }
    assert status["ports"] == [
        {
            "id": device.port_id,
            "device": device.name,
            "ofport": reference.OFPORTS[device.name],
            "network_id": reference.NETWORK_ID,
            "vlan": reference.LOCAL_VLAN,
            "status": "ACTIVE",
            "reason": None,
            "security": None,
        }
        for device in DEVICES
    ]


@pytest.mark.parametrize("destination", [BROADCAST, PEER], ids=["broadcast", "unicast"])
def test_a_frame_of_the_vm_leaves_by_the_tunnel(ovs: OvsHost, controller: Tunbridge, destination: str) -> None:
    """With the network's tunnel id; and it reaches the other devices of the network untagged."""
    way = trace(ovs, "br-int", f"in_port=5,dl_src={VM.mac},dl_dst={destination}")
    assert way.tunnel_id == hex(reference.TUNNEL_ID)
    assert way.deliveries == {
        GATEWAY.name: (),
        DHCP.name: (),
        GRE: (reference.LOCAL_VLAN,),
        "br-tun": (reference.LOCAL_VLAN,),
        **ON_BR_INT,
    }


@pytest.mark.parametrize("tag", ["", "dl_vlan=77,"], ids=["untagged", "tagged"])
@pytest.mark.parametrize("destination", [BROADCAST, "01:00:5e:00:00:01"], ids=["broadcast", "multicast"])
def test_multicast_from_the_tunnel_gets_exactly_one_tag(
    ovs: OvsHost, controller: Tunbridge, destination: str, tag: str
) -> None:
    """Whatever tag it came with, it is of VLAN 1 on br-int, reaches all devices, and leaves by no tunnel."""
    way = from_tunnel(ovs, f"{tag}dl_dst={destination}")
    assert way.deliveries == {**UNTAGGED_TO_ALL, **ON_BR_INT}
    assert "dl_vlan=1," in way.final
    assert "vlan_tci1=0x0000" in way.final


@pytest.mark.parametrize("tag", ["", "dl_vlan=77,", "dl_vlan=77,dl_vlan_pcp=5,"], ids=["untagged", "tagged", "pcp"])
@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_unicast_from_the_tunnel_gets_exactly_one_tag(
    ovs: OvsHost, controller: Tunbridge, device: Device, tag: str
) -> None:
    """Whatever tag it came with, it is of VLAN 1 on br-int, and its priority is kept."""
    way = from_tunnel(ovs, f"{tag}dl_dst={device.mac}")
    assert way.deliveries == {**UNTAGGED_TO_ALL, **ON_BR_INT, "br-tun": (reference.LOCAL_VLAN,)}
    assert f"dl_vlan=1,dl_vlan_pcp={5 if 'pcp' in tag else 0},vlan_tci1=0x0000" in way.final


@pytest.mark.parametrize(
    ("flow", "tunnel_id"),
    [
        (f"dl_dst={STRANGER}", reference.TUNNEL_ID),
        (f"dl_vlan=1,dl_dst={STRANGER}", reference.TUNNEL_ID),
        (f"dl_dst={BROADCAST}", 3),
        (f"dl_dst={VM.mac}", 3),
        (f"dl_vlan=1,dl_dst={VM.mac}", 0),
    ],
    ids=["foreign unicast", "foreign unicast tagged", "foreign tunnel id", "VM in another network", "no tunnel id"],
)
def test_what_is_not_for_this_host_is_dropped(ovs: OvsHost, controller: Tunbridge, flow: str, tunnel_id: int) -> None:
    """From the tunnel: unicast to nobody here, and all of networks that are not here."""
    assert from_tunnel(ovs, flow, tunnel_id).deliveries == {}


@pytest.mark.parametrize("tag", ["", "dl_vlan=2,", "dl_vlan=4095,"], ids=["untagged", "unknown", "dead"])
def test_an_unknown_vlan_does_not_leave(ovs: OvsHost, controller: Tunbridge, tag: str) -> None:
    """From br-int: what is of no network goes into no tunnel."""
    flow = f"in_port={reference.PATCH_INT_OFPORT},{tag}dl_src={VM.mac},dl_dst={BROADCAST}"
    assert trace(ovs, "br-tun", flow).deliveries == {}


def test_known_unicast_goes_to_its_device_alone(ovs: OvsHost, controller: Tunbridge) -> None:
    """After the VM and the peer were heard, each is reached on the one way that leads to it."""
    trace(ovs, "br-int", f"in_port=5,dl_src={VM.mac},dl_dst={BROADCAST}", learn=True)
    flow = f"in_port={ovs.ofport(GRE)},tun_id={reference.TUNNEL_ID},dl_src={PEER},dl_dst={VM.mac}"
    try:
        assert trace(ovs, "br-tun", flow, learn=True).deliveries == {VM.name: ()}
        way = trace(ovs, "br-int", f"in_port=5,dl_src={VM.mac},dl_dst={PEER}")
        assert way.deliveries == {GRE: (reference.LOCAL_VLAN,)}
    finally:  # the other tests look at frames to devices that have not been heard
        for bridge in ("br-int", "br-tun"):
            ovs.appctl("fdb/flush", bridge)
