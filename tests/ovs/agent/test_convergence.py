"""The same end state from whatever is found: nothing, what is right already, another agent's leftovers, half of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import reference
from tests.support.golden import Golden
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import DEAD_VLAN, Host, Network, Port, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.reference import DEVICES, DHCP, GATEWAY, VM
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

OTHER_NETWORK = "aaaaaaaa-0000-4000-8000-00000000000a"
BASE = {"br-int": ["priority=1 actions=NORMAL"], "br-tun": ["priority=1 actions=drop"]}


def wiring_keys(network_id: str, tunnel_id: int, vlan: int) -> dict[str, str]:
    """What Neutron's agent writes into Port.other_config."""
    return {
        "net_uuid": network_id,
        "network_type": "gre",
        "physical_network": "None",
        "segmentation_id": str(tunnel_id),
        "tag": str(vlan),
    }


def tag_as(ovs: OvsHost, device: str, tag: int | None, other_config: dict[str, str]) -> None:
    """Leave a Port as another agent may have."""
    columns = [f"other_config:{key}={value}" for key, value in other_config.items()]
    columns += [f"tag={tag}"] if tag is not None else []
    ovs.vsctl("set", "Port", device, *columns)


def wait_wired(controller: Tunbridge) -> None:
    """Wait until the reference host's devices are up and nothing is left to do."""
    for device in DEVICES:
        controller.wait_device(device.name, status="ACTIVE")
    controller.wait_in_sync()


def assert_bridges_are_set_up(ovs: OvsHost, controller: Tunbridge) -> None:
    """Both bridges as the specification has them, joined by the patch, with our controller and no other."""
    for name, patch, peer in (("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun")):
        bridge = ovs.row("Bridge", name)
        assert bridge["fail_mode"] == "secure"
        assert "OpenFlow13" in bridge["protocols"]  # type: ignore[operator]
        assert ovs.vsctl("get-controller", name).split() == [f"tcp:127.0.0.1:{controller.of_port}"]
        target = ovs.row("Controller", str(bridge["controller"]))
        assert (target["connection_mode"], target["max_backoff"]) == ("out-of-band", 1000)
        interface = ovs.row("Interface", patch)
        assert (interface["type"], interface["options"]) == ("patch", {"peer": peer})
        assert interface["error"] is None
        assert ovs.vsctl("port-to-br", patch).strip() == name
        assert ovs.tag(patch) is None


def test_from_nothing(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """On an Open vSwitch without bridges, both are made, with their base flows only."""
    controller = tunbridge()
    controller.wait_in_sync()
    assert ovs.vsctl("list-br").split() == ["br-int", "br-tun"]
    assert_bridges_are_set_up(ovs, controller)
    assert {bridge: ovs.dump(bridge) for bridge in BASE} == BASE


def test_what_is_right_already_is_not_written_again(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """A second and a third start send no flow-mod and write no row of the local OVSDB."""
    reference.reference_host(ovs)
    controller = tunbridge()
    controller.apply(reference.DOCUMENT)
    wait_wired(controller)
    assert controller.quick_status()["counters"]["flow_mods"] >= 7  # they do count
    assert controller.quick_status()["counters"]["ovsdb_rows_written"] >= 3
    controller.stop()
    before = ovs.port_versions()
    for _ in range(2):
        controller.start()
        controller.wait_ready()
        wait_wired(controller)
        counters = controller.quick_status()["counters"]
        assert counters == dict.fromkeys(counters, 0), counters
        controller.stop()  # writes that wait are made before it ends
        assert ovs.port_versions() == before


def test_from_the_leftovers_of_another_agent(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], golden: Golden, tmp_path: Path
) -> None:
    """Foreign flows, wrong patch peers, stale tags and keys, foreign controllers: the end state is the usual one."""
    reference.reference_host(ovs)
    ovs.vsctl(
        *("--", "add-port", "br-int", "patch-tun", "tag=9", "--", "set", "Interface", "patch-tun"),
        *("type=patch", "options:peer=patch-old", "--", "set", "Bridge", "br-int", "fail_mode=standalone"),
        *("--", "add-br", "br-tun", "--", "add-port", "br-tun", "patch-int"),
        *("--", "set", "Interface", "patch-int", "type=patch", "options:peer=patch-nowhere"),
        *("--", "set", "Bridge", "br-tun", "protocols=OpenFlow10,OpenFlow13"),
        *("--", "set-controller", "br-int", "tcp:127.0.0.1:1"),
        *("--", "set-controller", "br-tun", "tcp:127.0.0.1:1", "tcp:127.0.0.1:2"),
    )
    ovs.plug("tapstale", "deadbeef-0000-4000-8000-000000000000")
    tag_as(ovs, "tapstale", 7, wiring_keys(OTHER_NETWORK, 7, 7) | {"colour": "blue"})
    tag_as(ovs, GATEWAY.name, DEAD_VLAN, {})
    tag_as(ovs, DHCP.name, DEAD_VLAN, wiring_keys(OTHER_NETWORK, 99, 3))
    tag_as(ovs, VM.name, None, wiring_keys(reference.NETWORK_ID, 98, 3) | {"colour": "red"})
    foreign = tmp_path / "foreign.flows"
    foreign.write_text(
        "cookie=0xf1,priority=1,actions=drop\n"
        "cookie=0xf1,priority=2,in_port=1,actions=drop\n"
        "cookie=0xf1,priority=4,in_port=1,dl_vlan=1,actions=set_tunnel:77,normal\n"
        "cookie=0xf1,priority=100,dl_type=0x86dd,ip_proto=58,icmp_type=136,actions=resubmit(,24)\n"
        "cookie=0xf1,table=10,priority=1,actions=learn(table=20,hard_timeout=300,NXM_OF_VLAN_TCI[0..11]),output:1\n"
        "cookie=0,table=60,priority=3,actions=normal\n"
    )
    for bridge in BASE:
        ovs.ofctl("add-flows", bridge, str(foreign))

    controller = tunbridge()
    controller.apply(reference.DOCUMENT)
    wait_wired(controller)
    assert_bridges_are_set_up(ovs, controller)
    golden.check("reference-br-tun.flows", ovs.dump("br-tun"))
    assert ovs.dump("br-int") == [f"priority=2,in_port={ovs.ofport('tapstale')} actions=drop", *BASE["br-int"]]
    right = wiring_keys(reference.NETWORK_ID, reference.TUNNEL_ID, reference.LOCAL_VLAN)
    for device, colour in ((GATEWAY, {}), (DHCP, {}), (VM, {"colour": "red"})):
        row = ovs.row("Port", device.name)
        assert (row["tag"], row["other_config"]) == (reference.LOCAL_VLAN, right | colour)
    stale = ovs.row("Port", "tapstale")
    assert (stale["tag"], stale["other_config"]) == (DEAD_VLAN, {"colour": "blue"})


def test_local_vlans_are_recovered(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """What Neutron's agent has wired keeps its local VLAN; its Port rows are not even written."""
    controller = tunbridge()
    controller.wait_in_sync()
    host = Host(ovs, controller)
    red, green, blue = new_network(), new_network(), new_network()
    host.add_networks(red, green, blue)
    red_ports, green_port, blue_port = [new_port(red) for _ in range(3)], new_port(green), new_port(blue)
    ports = [*red_ports, green_port, blue_port]
    host.add_ports(*ports)
    controller.stop()
    ovs.plug_many([port.device() for port in ports])
    for port, vlan in ((red_ports[0], 5), (red_ports[1], 5), (green_port, 2)):
        tag_as(ovs, port.name, vlan, wiring_keys(port.network.id, port.network.number, vlan))
    tag_as(ovs, red_ports[2].name, 6, {})  # its agent was stopped half-way; the others know better
    before = ovs.port_versions()

    controller.start()
    for port in ports:
        host.assert_bound(port)
    tags = ovs.tags()
    assert [tags[port.name] for port in ports] == [5, 5, 5, 2, 1]
    after = ovs.port_versions()
    wired = [port.name for port in (*red_ports[:2], green_port)]
    assert [after[name] for name in wired] == [before[name] for name in wired]


def expected_tunnel_flows(ports: list[Port], vlans: dict[Network, int]) -> list[str]:
    """The flows of br-tun, by the specification."""
    flows = BASE["br-tun"][:]
    for network, vlan in vlans.items():
        flows.append(f"priority=4,in_port=1,dl_vlan={vlan} actions=set_field:{network.tun_id}->tun_id,NORMAL")
    inbound = [(network, "01:00:00:00:00:00/01:00:00:00:00:00", "output:1") for network in vlans]
    for network, destination, last in inbound + [(port.network, port.mac, "NORMAL") for port in ports]:
        load = f"load:{vlans[network]:#x}->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]"
        flows.append(f"priority=3,tun_id={network.tun_id},dl_dst={destination} actions={load},{last}")
    return sorted(flows)


def wait_active(controller: Tunbridge, ports: list[Port]) -> None:
    """Wait until the devices of many ports are up; one question is about all of them."""
    expected = {port.name for port in ports}

    def missing() -> set[str]:
        devices = controller.quick_status().get("ports", [])
        return expected - {device["device"] for device in devices if device["status"] == "ACTIVE"}

    wait_until(lambda: not missing(), 30, lambda: f"{missing()} are up\n{controller.log_tail()}")


def test_killed_in_the_middle_of_a_bulk_binding(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """kill -9 at four moments while 160 ports of 4 networks are being wired: all get wired, no VLAN changes."""
    controller = tunbridge()
    controller.wait_in_sync()
    host = Host(ovs, controller)
    networks = [new_network() for _ in range(4)]
    host.add_networks(*networks)
    ports: list[Port] = []
    wired: dict[str, object] = {}

    def tags_of_wired() -> dict[str, object]:
        return {name: tag for name, tag in ovs.tags().items() if tag not in (None, DEAD_VLAN)}

    moments: list[Callable[[int], object]] = [
        lambda done: True,
        lambda done: len(ovs.dump("br-tun")) > 1 + 2 * len(networks) + done,
        lambda done: len(tags_of_wired()) > done,
        lambda done: sum(row["status"] == "ACTIVE" for row in controller.topology_ports().values()) > done,
    ]
    for moment in moments:
        done = len(ports)
        batch = [new_port(networks[number % len(networks)]) for number in range(40)]
        ports += batch
        host.add_ports(*batch)
        plugs = [port.device().plug_command("br-int", "") for port in batch]
        ovs.vsctl("--no-wait", *(word for plug in plugs for word in plug))
        wait_until(lambda: moment(done), 30, lambda: f"a moment of {done} ports: {controller.log_tail()}", 0.01)  # noqa: B023
        controller.kill9()
        now = tags_of_wired()
        assert {name: now[name] for name in wired} == wired
        wired = now
        controller.start()
        controller.wait_ready()
        wait_active(controller, ports[:done])

    wait_active(controller, ports)
    controller.wait_in_sync()
    final = tags_of_wired()
    assert {name: final[name] for name in wired} == wired
    states = controller.topology_ports()
    assert {states[port.id]["status"] for port in ports} == {"ACTIVE"}
    vlans = {port.network: final[port.name] for port in ports}
    assert sorted(vlans.values()) == [1, 2, 3, 4]  # type: ignore[type-var]
    assert final == {port.name: vlans[port.network] for port in ports}
    assert sorted(ovs.dump("br-tun")) == expected_tunnel_flows(ports, vlans)  # type: ignore[arg-type]
    assert ovs.dump("br-int") == BASE["br-int"]
