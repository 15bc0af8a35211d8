"""Every network is carried, and none leaks into another: frames sent through the compiled flows of any host."""

from __future__ import annotations

import netaddr
from hypothesis import given
from hypothesis import strategies as st

from apps.framework.app import UnitKind
from apps.framework.compiler import Compiler
from apps.framework.flow import MULTICAST_BIT, Flow
from apps.framework.host_view import HostView, LocalNetwork, RemotePort
from tests.support.openflow.frames import Frame, Sent, sent
from tests.support.openflow.views import MACS, TUNNEL_IDS, compiled, stays_here, views

TUNNEL_PORT = 99
BROADCAST = 2**48 - 1
STRANGER = int(netaddr.EUI("fa:16:3e:ff:ff:ff"))
TAG_TYPES = (0x9100, 0x9200, 0x9300)
ETHERTYPES = (0x0800, *TAG_TYPES)
TAGS = (None, 1, 2, 101, 4094)
"""Tags of frames that peers send: none, one of our local VLANs, one of theirs."""


def _compiled(view: HostView) -> tuple[Compiler, list[Flow], list[Flow]]:
    compiler = compiled(view)
    return compiler, list(compiler.flows("br-int").values()), list(compiler.flows("br-tun").values())


def owner_of_tunnel(view: HostView, tunnel_id: int) -> str | None:
    """The network that a tunnel id means on this host: of several that claim it, the first by id."""
    return min(
        (
            key
            for key, local in view.networks.items()
            if local.network.network_type.is_tunnel and local.network.segmentation_id == tunnel_id
        ),
        default=None,
    )


def to_number(text: str) -> int:
    return int(netaddr.EUI(text))


def _leads_to(view: HostView, local: LocalNetwork, dl_dst: int) -> list[int | None]:
    """The ports that a frame to an address leaves by where the topology knows; else None, which is MAC learning."""
    kind, network_id = local.network.network_type, local.network.id
    remote = [port for port in view.remote_ports.values() if port.network_id == network_id]
    if dl_dst & MULTICAST_BIT:
        members = {host for port in remote for host in port.hosts if view.paths(host, kind)}
        silent = {host for host, peer in view.peers.items() if not peer.tells_ports} if members else set()
        return [path.ofport for host in sorted(members | silent) for path in view.paths(host, kind)] or [None]
    local_ports = [port for port in view.ports.values() if port.network_id == network_id]
    having = [
        port for port in [*remote, *local_ports] if dl_dst in map(to_number, (port.mac_address, *port.allowed_macs))
    ]
    elsewhere = next((port for port in having if isinstance(port, RemotePort)), None)
    if len({port.port_id for port in having}) == 1 and elsewhere is not None:
        ways = [paths for host in elsewhere.hosts if (paths := view.paths(host, kind))]
        if ways and all(len(paths) == 1 for paths in ways):
            return [paths[0].ofport for paths in ways]
    return [None]


@given(views(), st.sampled_from([to_number(mac) for mac in MACS] + [BROADCAST, STRANGER]))
def test_outbound(view: HostView, dl_dst: int) -> None:
    """A frame from br-int leaves with the tunnel id of its local VLAN's network, and not at all where that has none, or
    where it is for a port of that network which is on this host; by the tunnels to where the topology has it, or as MAC
    learning has it."""
    compiler, _, tunnel_bridge = _compiled(view)
    if view.patch_int is None:
        return
    for vlan in {local.vlan for local in view.networks.values()} | {None, 4094, 4095}:
        local = next((local for local in view.networks.values() if local.vlan == vlan), None)
        expected = []
        if local is not None and local.network.network_type.is_tunnel:
            tunnel_id = local.network.segmentation_id or 0
            stays = stays_here(view, compiler, local.network.id, dl_dst)
            if owner_of_tunnel(view, tunnel_id) == local.network.id and not stays:
                expected = [
                    Sent(port, vlan if port is None else None, tunnel_id) for port in _leads_to(view, local, dl_dst)
                ]
        assert sent(tunnel_bridge, Frame(view.patch_int, dl_dst, vlan)) == expected


@given(views(), st.sampled_from((*TUNNEL_IDS, 0, 77)), st.sampled_from(TAGS))
def test_inbound_multicast(view: HostView, tunnel_id: int, tag: int | None) -> None:
    """Broadcast and multicast from a tunnel go to br-int alone, with exactly the local VLAN of the tunnel's network."""
    _, _, tunnel_bridge = _compiled(view)
    owner = owner_of_tunnel(view, tunnel_id)
    carried = owner is not None and view.patch_int is not None
    expected = [Sent(view.patch_int, view.networks[owner].vlan, tunnel_id)] if carried and owner is not None else []
    for group in (BROADCAST, MULTICAST_BIT, 0x3333_0000_0001):
        assert sent(tunnel_bridge, Frame(TUNNEL_PORT, group, tag, tunnel_id)) == expected


@given(views(), st.sampled_from((*TUNNEL_IDS, 0, 77)), st.sampled_from(TAGS))
def test_inbound_unicast(view: HostView, tunnel_id: int, tag: int | None) -> None:
    """Unicast from a tunnel gets in for the MACs of the tunnel's own network only, with exactly its local VLAN; what
    other networks have on this host, even behind the same tunnel id, is out of reach."""
    _, _, tunnel_bridge = _compiled(view)
    owner = owner_of_tunnel(view, tunnel_id)
    ports = [port for port in view.ports.values() if port.network_id == owner]
    macs = {to_number(mac) for port in ports for mac in (port.mac_address, *port.allowed_macs)}
    for dl_dst in [to_number(mac) for mac in MACS] + [STRANGER]:
        carried = owner is not None and view.patch_int is not None and dl_dst in macs
        port = view.patch_int if any(one.network_id == owner for one in view.remote_ports.values()) else None
        expected = [Sent(port, view.networks[owner].vlan, tunnel_id)] if carried and owner is not None else []
        assert sent(tunnel_bridge, Frame(TUNNEL_PORT, dl_dst, tag, tunnel_id)) == expected


@given(views(), st.sampled_from(ETHERTYPES))
def test_dead_devices_are_silent(view: HostView, ethertype: int) -> None:
    """On br-int a frame of a dead device goes nowhere, nor does a tagged one of a VLAN or flat network's, whatever it
    takes for a tag; and every other frame is switched."""
    compiler, integration_bridge, _ = _compiled(view)
    dead = {device.ofport for device in view.dead.values()}
    untagged_only = {
        port.ofport
        for port in view.ports.values()
        if view.networks[port.network_id].network.network_type.is_physical
        and compiler.reason(UnitKind.PORT, port.port_id) is None
    }
    for ofport in {port.ofport for port in view.ports.values()} | dead | {TUNNEL_PORT}:
        for vlan in (*TAGS, 0):
            tagged = vlan is not None or ethertype in TAG_TYPES
            dropped = ofport in dead or (tagged and ofport in untagged_only)
            expected = [] if dropped else [Sent(None, vlan, 0)]
            assert sent(integration_bridge, Frame(ofport, BROADCAST, vlan, ethertype=ethertype)) == expected


@given(views())
def test_a_port_without_its_network_is_named(view: HostView) -> None:
    """Where two networks have one tunnel id, the ports of the one that is refused are refused with it, by name."""
    compiler, _, _ = _compiled(view)
    for port in view.ports.values():
        reason = compiler.reason(UnitKind.NETWORK, port.network_id)
        if reason is not None:
            assert port.network_id in (compiler.reason(UnitKind.PORT, port.port_id) or "")
