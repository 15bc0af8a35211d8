"""Tunnel ports on br-tun follow the hosts of the topology, and nothing else on br-tun does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

pytestmark = pytest.mark.one_hub

PAIR = {"gre-c0000202": "192.0.2.2", "gre-c0000203": "192.0.2.3"}
Options = Mapping[str, Mapping[str, object]]
LOCAL_IP = "192.0.2.1"
GRE_NETWORK = {
    "id": "c4d8b48b-6ff7-43b6-a203-8f1192a16f07",
    "provider:network_type": "gre",
    "provider:segmentation_id": 2,
    "ports": [{"id": "99f91280-a060-442e-90b0-d8324e50efc8", "mac_address": "fa:16:3e:02:dd:79"}],
}
VXLAN_NETWORK = {
    "id": "d5d8b48b-6ff7-43b6-a203-8f1192a16f07",
    "provider:network_type": "vxlan",
    "provider:segmentation_id": 3,
    "ports": [{"id": "aaf91280-a060-442e-90b0-d8324e50efc8", "mac_address": "fa:16:3e:02:dd:7a"}],
}
TAPS = {"tap-gre": GRE_NETWORK["ports"][0], "tap-vxlan": VXLAN_NETWORK["ports"][0]}  # type: ignore[index]


def gre_to(remote_ip: str, **more: str) -> dict[str, str]:
    """Options of a GRE tunnel, by the specification."""
    made = {"remote_ip": remote_ip, "local_ip": LOCAL_IP, "in_key": "flow", "out_key": "flow", "df_default": "true"}
    return {**made, **more}


def digest(address: str) -> str:
    """What stands for an IPv6 address in a port's name."""
    return hashlib.sha1(address.encode()).hexdigest()[:10]


class Mesh:
    """One host with its controller, and other hosts that exist as rows of the topology database."""

    def __init__(self, ovs: OvsHost, tunbridge: Tunbridge, server: OvsdbServer) -> None:
        self.ovs = ovs
        self.tunbridge = tunbridge
        self.server = server

    def add(self, name: str, addresses: Iterable[str], types: Iterable[str] = ("gre",), *, instance: str = "") -> None:
        """A host registers; without an instance it is one that an operator enters by hand."""
        add_host(self.server, name, addresses, types, instance)

    def delete(self, *names: str) -> None:
        """Hosts are deleted, as by any client of the database."""
        self.server.write(*({"op": "delete", "table": "Host", "where": [["name", "==", name]]} for name in names))

    def names(self) -> set[str]:
        """The ports of br-tun but the patch; none before a controller has made the bridge."""
        is_there = "br-tun" in self.ovs.vsctl("list-br").split()
        return set(self.ovs.vsctl("list-ports", "br-tun").split()) - {"patch-int"} if is_there else set()

    def tunnels(self) -> dict[str, dict[str, str]]:
        """Name → options of each of them."""
        return {name: self.ovs.row("Interface", name)["options"] for name in self.names()}  # type: ignore[misc]

    def wait_tunnels(self, expected: Mapping[str, Mapping[str, str]]) -> None:
        """Wait until br-tun has exactly these ports beside the patch."""
        wait_until(
            lambda: self.names() == expected.keys() and self.tunnels() == expected,
            60,
            lambda: f"ports {expected}, not {self.tunnels()}\n{self.tunbridge.log_tail()}",
        )

    def wait_trunks(self, **expected: object) -> None:
        """Wait until tunnel ports (type of each, with one peer) are the trunks of these VLANs; None: of all."""

        def trunks() -> dict[str, object]:
            ports = [name for name in self.tunnels() if name.partition("-")[0] in expected]
            return {name.partition("-")[0]: self.ovs.row("Port", name)["trunks"] for name in ports}

        wait_until(lambda: trunks() == expected, 60, lambda: f"trunks {expected}, not {trunks()}")

    def counters(self) -> dict[str, int]:
        """Messages and rows written so far."""
        counters: dict[str, int] = self.tunbridge.wait_in_sync()["counters"]
        return counters


def add_host(
    server: OvsdbServer, name: str, addresses: Iterable[str], types: Iterable[str] = ("gre",), instance: str = ""
) -> None:
    """Write the row of a host."""
    endpoints = {f"ip{number}": address for number, address in enumerate(addresses)}
    row = {
        "name": name,
        "tunnel_types": ["set", list(types)],
        "tunnel_endpoints": ["set", [["named-uuid", uuid_name] for uuid_name in endpoints]],
        "instance": instance,
    }
    server.write(
        *({"op": "insert", "table": "TunnelEndpoint", "uuid-name": uuid_name, "row": {"ip_address": address}}
          for uuid_name, address in endpoints.items()),
        {"op": "insert", "table": "Host", "row": row},
    )  # fmt: skip


def controller_on(ovs: OvsHost, server: OvsdbServer, hub: str, options: Options) -> Tunbridge:
    """A controller that uses the server's topology."""
    return Tunbridge(ovs, hub=hub, options={"topology": {"connection": server.connection}, **options})


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Mesh]:
    """A host with GRE alone and one bound port."""
    with OvsdbServer() as server, OvsHost() as ovs:
        agent = {"tunnel_types": "gre", "tunnel_csum": True}
        options: Options = {"ovs": {"local_ip": LOCAL_IP}, "agent": agent}
        with controller_on(ovs, server.start(), hub, options) as tunbridge:
            tunbridge.apply({"networks": [GRE_NETWORK]})
            tunbridge.wait_in_sync()
            ovs.plug("tap-gre", TAPS["tap-gre"]["id"])
            tunbridge.wait_device("tap-gre", status="ACTIVE")
            yield Mesh(ovs, tunbridge, server)


@pytest.fixture
def mesh(host: Mesh, report_logs: list[Path]) -> Iterator[Mesh]:
    """That host, with no other hosts before and after."""
    report_logs.append(host.tunbridge.log)
    yield host
    names = [row["name"] for row in host.server.rows("Host", "name") if row["name"] != "host1"]
    if names:
        host.delete(*names)
    host.wait_tunnels({})


def test_tunnels_follow_the_hosts(mesh: Mesh) -> None:
    """Each host with an address and an encapsulation of ours gets one port, which goes with the host and moves with its
    address; no flow is sent for any of that."""
    before, flows = mesh.counters(), mesh.ovs.dump("br-tun")
    mesh.add("h2", ["192.0.2.2"], ["gre", "vxlan"])
    mesh.add("h3", ["192.0.2.3"])
    mesh.add("only-geneve", ["192.0.2.4"], ["geneve"])
    mesh.add("no-address", [])
    mesh.add("only-ipv6", ["2001:db8::6"])
    here = {"gre-c0000202": gre_to("192.0.2.2", csum="true"), "gre-c0000203": gre_to("192.0.2.3", csum="true")}
    mesh.wait_tunnels(here)
    for name in here:
        assert mesh.ovs.row("Interface", name)["type"] == "gre"
        assert mesh.ovs.row("Port", name)["trunks"] is None
    expected = [
        {"host": host, "type": "gre", "remote_ip": ip, "device": name, "ofport": mesh.ovs.ofport(name)}
        for host, ip, name in (("h2", "192.0.2.2", "gre-c0000202"), ("h3", "192.0.2.3", "gre-c0000203"))
    ]
    wait_until(
        lambda: mesh.tunbridge.quick_status()["tunnels"] == expected,
        10,
        lambda: f"{expected}, not {mesh.tunbridge.quick_status()['tunnels']}",
    )
    mesh.tunbridge.wait_log("tunnel gre-c0000202 to host h2 at 192.0.2.2 made")

    moved = mesh.server.write(
        {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "new", "row": {"ip_address": "192.0.2.33"}},
        {
            "op": "update",
            "table": "Host",
            "where": [["name", "==", "h3"]],
            "row": {"tunnel_endpoints": ["named-uuid", "new"]},
        },
    )
    assert moved[1]["count"] == 1
    here["gre-c0000221"] = gre_to("192.0.2.33", csum="true")
    del here["gre-c0000203"]
    mesh.wait_tunnels(here)

    assert mesh.tunbridge.command("host", "delete", "h2") == "delete host h2\n"
    del here["gre-c0000202"]
    mesh.wait_tunnels(here)
    mesh.tunbridge.wait_log("host h2 was deleted")
    mesh.tunbridge.wait_log("tunnel gre-c0000202 removed")
    after = mesh.counters()
    assert mesh.ovs.dump("br-tun") == flows
    assert (after["flow_mods"], after["bundles"]) == (before["flow_mods"], before["bundles"])


def test_a_tunnel_comes_with_the_first_port_of_a_network_that_is_here(mesh: Mesh) -> None:
    """To a host that tells its ports there is none before; the last one may come back, and the tunnel stays a while."""
    for number in (2, 3):
        mesh.add(f"h{number}", [f"192.0.2.{number}"], instance=f"00000001-0000-4000-8000-00000000000{number}")
    mesh.add("by-hand", ["192.0.2.9"])
    by_hand = {"gre-c0000209": gre_to("192.0.2.9", csum="true")}
    mesh.wait_tunnels(by_hand)
    there = {"id": "99f91280-a060-442e-90b0-d8324e50efc9", "mac_address": "fa:16:3e:02:dd:80", "binding:host_id": "h2"}
    ports = GRE_NETWORK["ports"]
    assert isinstance(ports, list)
    mesh.tunbridge.apply({"networks": [{**GRE_NETWORK, "ports": [*ports, there]}]})
    try:
        mesh.wait_tunnels({**by_hand, "gre-c0000202": gre_to("192.0.2.2", csum="true")})
        wait_until(
            lambda: [tunnel["host"] for tunnel in mesh.tunbridge.quick_status()["tunnels"]] == ["h2", "by-hand"],
            10,
            lambda: f"{mesh.tunbridge.quick_status()['tunnels']}",
        )
    finally:
        mesh.tunbridge.apply({"networks": [GRE_NETWORK]}, prune=True)
    wait_until(
        lambda: [tunnel["host"] for tunnel in mesh.tunbridge.quick_status()["tunnels"]] == ["by-hand"],
        10,
        lambda: f"{mesh.tunbridge.quick_status()['tunnels']}",
    )
    assert "gre-c0000202" in mesh.tunnels()
    mesh.delete("h2")
    mesh.wait_tunnels(by_hand)


def test_arp_is_answered_once_there_is_a_way(mesh: Mesh) -> None:
    """Not while Open vSwitch cannot make the tunnel port: what a guest sent to the address would be lost."""
    mesh.ovs.vsctl("add-br", "br-else", "--", "add-port", "br-else", "gre-c0000202")
    ports = GRE_NETWORK["ports"]
    assert isinstance(ports, list)
    macs = {number: f"fa:16:3e:02:dd:8{number}" for number in (2, 3)}
    there = [
        {
            "id": f"99f91280-a060-442e-90b0-d8324e50efc{number}",
            "mac_address": mac,
            "allowed_address_pairs": [{"ip_address": f"10.0.0.{number}"}],
        }
        for number, mac in macs.items()
    ]

    def flows(number: int) -> tuple[bool, ...]:
        """Whether there is an answer, and a way."""
        dump = mesh.ovs.dump("br-tun")
        wanted = ((7, f"arp_tpa=10.0.0.{number},"), (6, f"dl_dst={macs[number]}"))
        return tuple(
            any(f"priority={priority}," in flow and text in flow for flow in dump) for priority, text in wanted
        )

    try:
        mesh.tunbridge.apply({"networks": [{**GRE_NETWORK, "ports": [*ports, *there]}]})
        for number in macs:
            mesh.add(f"h{number}", [f"192.0.2.{number}"], instance=f"00000001-0000-4000-8000-00000000000{number}")
        mesh.server.write(
            *(
                {"op": "update", "table": "Port", "where": [["mac_address", "==", mac]], "row": {"host": f"h{number}"}}
                for number, mac in macs.items()
            )
        )
        wait_until(lambda: flows(3) == (True, True), 20, lambda: f"h3 is reached: {flows(3)}")
        assert flows(2) == (False, False)
        mesh.ovs.vsctl("del-br", "br-else")
        wait_until(lambda: flows(2) == (True, True), 20, lambda: f"h2 is reached: {flows(2)}")
    finally:
        mesh.ovs.vsctl("--if-exists", "del-br", "br-else")
        mesh.tunbridge.apply({"networks": [GRE_NETWORK]}, prune=True)


def test_tunnels_changed_by_hand_are_put_back(mesh: Mesh) -> None:
    """A tunnel port that is removed, given other options or another type is made right at once."""
    mesh.add("h2", ["192.0.2.2"])
    right = {"gre-c0000202": gre_to("192.0.2.2", csum="true")}
    mesh.wait_tunnels(right)
    assert mesh.ovs.row("Port", "gre-c0000202")["protected"], "unlearned frames would pass into other tunnels"
    interface = ("set", "Interface", "gre-c0000202")
    for command in (
        ("del-port", "br-tun", "gre-c0000202"),
        (*interface, "options:remote_ip=198.51.100.1"),
        (*interface, "options:key=7", "options:ttl=3"),
        (*interface, "type=vxlan"),
        ("set", "Port", "gre-c0000202", "trunks=5"),
        ("set", "Port", "gre-c0000202", "tag=5"),
    ):
        mesh.ovs.vsctl(*command)
        mesh.wait_tunnels(right)
        mesh.wait_trunks(gre=None)
        wait_until(lambda: mesh.ovs.row("Interface", "gre-c0000202")["type"] == "gre", 10, f"{command}: type is gre")
        wait_until(lambda: mesh.ovs.tag("gre-c0000202") is None, 10, f"{command}: no tag")


def test_ports_of_others_on_br_tun_are_left_alone(mesh: Mesh) -> None:
    """Tunnels of an operator stay as they are while ours come and go, whatever they are called."""
    mesh.ovs.vsctl(
        *("--", "add-port", "br-tun", "gre-to-dc", "--", "set", "Interface", "gre-to-dc"),
        *("type=gre", "options:remote_ip=198.51.100.1", "options:key=9"),
        *("--", "add-port", "br-tun", "gre-c6336402", "--", "set", "Interface", "gre-c6336402"),
        *("type=gre", "options:remote_ip=198.51.100.3", "options:key=9"),
        *("--", "add-port", "br-tun", "vxlan-c6336404", "tag=3"),
    )
    others = {
        "gre-to-dc": {"remote_ip": "198.51.100.1", "key": "9"},
        "gre-c6336402": {"remote_ip": "198.51.100.3", "key": "9"},  # 198.51.100.2, if it were ours
        "vxlan-c6336404": {},
    }
    versions = mesh.ovs.port_versions()
    try:
        mesh.add("h2", ["192.0.2.2"])
        mesh.wait_tunnels({**others, "gre-c0000202": gre_to("192.0.2.2", csum="true")})
        mesh.delete("h2")
        mesh.wait_tunnels(others)
        after = mesh.ovs.port_versions()
        assert {name: after[name] for name in others} == {name: versions[name] for name in others}
    finally:
        mesh.ovs.unplug(*others, bridge="br-tun")


def test_a_name_that_another_bridge_has_keeps_nothing_else_back(mesh: Mesh) -> None:
    """The tunnel without a place is named in status and log; the next is made, and this one once the name is free."""
    mesh.ovs.vsctl("add-br", "br-else", "--", "add-port", "br-else", "gre-c0000202")
    try:
        mesh.add("h2", ["192.0.2.2"])
        mesh.add("h3", ["192.0.2.3"])
        mesh.wait_tunnels({"gre-c0000203": gre_to("192.0.2.3", csum="true")})
        problem = "port gre-c0000202 is not made: it is on bridge br-else, where br-tun needs the name"
        mesh.tunbridge.wait_log(problem)
        status = mesh.tunbridge.quick_status()
        assert [text.partition(": remove it")[0] for text in status["problems"]] == [problem]
        assert not status["in_sync"]
    finally:
        mesh.ovs.vsctl("del-br", "br-else")
    mesh.wait_tunnels({name: gre_to(ip, csum="true") for name, ip in PAIR.items()})
    wait_until(lambda: not mesh.tunbridge.quick_status()["problems"], 10, "no problem any more")


def test_a_silent_host_keeps_its_tunnel(mesh: Mesh) -> None:
    """A host that was last seen an age ago is still there, as long as nobody deletes it."""
    mesh.server.write({"op": "insert", "table": "HostState", "row": {"name": "h2", "last_seen": 1_000_000}})
    mesh.add("h2", ["192.0.2.2"])
    silent = {"gre-c0000202": gre_to("192.0.2.2", csum="true")}
    mesh.wait_tunnels(silent)
    version = mesh.ovs.port_versions()["gre-c0000202"]
    mesh.add("h3", ["192.0.2.3"])  # once its tunnel is there, whatever there was to decide has been decided
    mesh.wait_tunnels({**silent, "gre-c0000203": gre_to("192.0.2.3", csum="true")})
    assert mesh.ovs.port_versions()["gre-c0000202"] == version
    listing = mesh.tunbridge.command("host", "list")
    assert [line.split()[:2] for line in listing.splitlines() if line.startswith("h2 ")] == [["h2", "NO"]]


def test_without_the_topology_database_nothing_changes(mesh: Mesh) -> None:
    """While it is down tunnels and flows stay, and are still watched over; when it is back nothing is written."""
    mesh.add("h2", ["192.0.2.2"])
    here = {"gre-c0000202": gre_to("192.0.2.2", csum="true")}
    mesh.wait_tunnels(here)
    before, flows, versions = mesh.counters(), mesh.ovs.dump("br-tun"), mesh.ovs.port_versions()
    mesh.server.kill()
    try:
        wait_until(lambda: not mesh.tunbridge.quick_status()["topology"]["connected"], 10, "the controller has noticed")
        assert (mesh.tunnels(), mesh.ovs.dump("br-tun"), mesh.ovs.port_versions()) == (here, flows, versions)
        assert mesh.tunbridge.quick_status()["counters"] == before
        mesh.ovs.vsctl("del-port", "br-tun", "gre-c0000202")
        mesh.wait_tunnels(here)
        before, versions = mesh.tunbridge.quick_status()["counters"], mesh.ovs.port_versions()
    finally:
        mesh.server.start()
    assert mesh.counters() == before
    assert (mesh.tunnels(), mesh.ovs.dump("br-tun"), mesh.ovs.port_versions()) == (here, flows, versions)


def test_several_encapsulations_over_ipv6(ovs: OvsHost, hub: str, report_logs: list[Path]) -> None:
    """Each type that both hosts have gets its port, which carries the local VLANs of its own networks and no others;
    a restart writes nothing."""
    options: Options = {
        "ovs": {"local_ip": "2001:db8::1"},
        "agent": {"tunnel_types": "gre,vxlan,geneve", "vxlan_udp_port": 8472, "dont_fragment": False},
    }
    with OvsdbServer() as server, controller_on(ovs, server.start(), hub, options) as tunbridge:
        report_logs.append(tunbridge.log)
        mesh = Mesh(ovs, tunbridge, server)
        tunbridge.wait_in_sync()
        mesh.add("h2", ["2001:db8::2", "192.0.2.2"], ["gre", "vxlan", "geneve"])
        mesh.add("only-ipv4", ["192.0.2.3"], ["gre", "vxlan", "geneve"])
        made = gre_to("2001:db8::2", local_ip="2001:db8::1", df_default="false")
        right = {
            f"gre-{digest('2001:db8::2')}": made,
            f"vxlan-{digest('2001:db8::2')}": {**made, "dst_port": "8472"},
            f"geneve-{digest('2001:db8::2')}": made,
        }
        mesh.wait_tunnels(right)
        mesh.wait_trunks(gre=4095, vxlan=4095, geneve=4095)
        ofports = {name: ovs.ofport(name) for name in right}
        assert min(ofport or 0 for ofport in ofports.values()) > 0
        wait_until(
            lambda: {tunnel["device"]: tunnel["ofport"] for tunnel in tunbridge.quick_status()["tunnels"]} == ofports,
            10,
            lambda: f"{ofports}, not {tunbridge.quick_status()['tunnels']}",
        )

        tunbridge.apply({"networks": [GRE_NETWORK, VXLAN_NETWORK]})
        vlans = {}
        for tap, port in TAPS.items():
            ovs.plug(tap, port["id"])
            vlans[tap] = tunbridge.wait_device(tap, status="ACTIVE")["vlan"]
        mesh.wait_trunks(gre=vlans["tap-gre"], vxlan=vlans["tap-vxlan"], geneve=4095)
        ovs.unplug("tap-vxlan")
        mesh.wait_trunks(gre=vlans["tap-gre"], vxlan=4095, geneve=4095)

        tunbridge.wait_in_sync()
        versions = ovs.port_versions()
        tunbridge.restart()
        tunbridge.wait_device("tap-gre", status="ACTIVE")
        assert set(mesh.counters().values()) == {0}
        tunbridge.stop()  # writes that wait are made before it ends
        assert ovs.port_versions() == versions
        assert mesh.tunnels() == right


def test_leftovers(ovs: OvsHost, hub: str, report_logs: list[Path]) -> None:
    """Tunnels that an earlier run, or Neutron's agent, left behind: those to hosts of the topology are kept as they
    are, others go; without a ``local_ip`` all go, and none is made."""
    ovs.vsctl("add-br", "br-tun")
    for name, remote_ip in (("gre-c0000202", "192.0.2.2"), ("gre-c0000209", "192.0.2.9"), ("mine", "192.0.2.10")):
        columns = [f"options:{key}={value}" for key, value in gre_to(remote_ip).items()]
        ovs.vsctl("add-port", "br-tun", name, "--", "set", "Interface", name, "type=gre", *columns)
    version = ovs.port_versions()["gre-c0000202"]
    with OvsdbServer() as server:
        add_host(server.start(), "h2", ["192.0.2.2"])
        with controller_on(ovs, server, hub, {"ovs": {"local_ip": LOCAL_IP}}) as tunbridge:
            report_logs.append(tunbridge.log)
            mesh = Mesh(ovs, tunbridge, server)
            mesh.wait_tunnels({"gre-c0000202": gre_to("192.0.2.2"), "mine": gre_to("192.0.2.10")})
            assert ovs.port_versions()["gre-c0000202"] == version
        with controller_on(ovs, server, hub, {"DEFAULT": {"host": "host3"}}) as tunbridge:
            report_logs.append(tunbridge.log)
            mesh = Mesh(ovs, tunbridge, server)
            mesh.wait_tunnels({"mine": gre_to("192.0.2.10")})
            assert tunbridge.wait_in_sync()["tunnels"] == []
