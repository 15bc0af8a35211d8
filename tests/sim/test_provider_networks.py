"""VLAN and flat networks keep to their own wire: frames sent through br-int, br-tun and the physical bridges of any
host, in at one edge and out at others.
"""

from __future__ import annotations

from collections.abc import Iterator

import netaddr
from hypothesis import given
from hypothesis import strategies as st

from apps.framework.host_view import HostView, PhysicalNetwork
from tests.support.openflow.frames import Frame, Sent, sent
from tests.support.openflow.views import MACS, PHYSICAL_BRIDGES, SEGMENTS, TUNNEL_IDS, compiled, stays_here, views
from topology.model import NetworkType

WIRE = 1
"""Ofport of a physical bridge by which the world is reached."""
PATCH_TUN = 31
TUNNEL_PORT = 99
BROADCAST = 2**48 - 1
DESTINATIONS = st.sampled_from([BROADCAST, 0x3333_0000_0001, *(int(netaddr.EUI(mac)) for mac in MACS)])
TAGS = (None, *SEGMENTS, 3, 77, 4094)
"""Tags of frames on a wire: none, those of networks, those of nobody."""


class Host:
    """The bridges of a host with the flows of a view."""

    def __init__(self, view: HostView) -> None:
        self.view = view
        self.compiler = compiled(view)

    def sent(self, bridge: str, frame: Frame) -> list[Sent]:
        """What a bridge makes of a frame."""
        return sent(self.compiler.flows(bridge).values(), frame)

    def local_vlan(self, name: str, tag: int | None) -> int | None:
        """The local VLAN of the network that a tag, or none, means on a wire: of several that claim it, the first."""
        network_id = min(
            (
                key
                for key, local in self.view.networks.items()
                if local.network.physical_network == name and local.network.segmentation_id == tag
            ),
            default=None,
        )
        return None if network_id is None else self.view.networks[network_id].vlan

    def joined(self) -> Iterator[tuple[PhysicalNetwork, int, int]]:
        """The physical networks whose patch has both ends, with these."""
        for physical in self.view.physical.values():
            if physical.int_port is not None and physical.phy_port is not None:
                yield physical, physical.int_port, physical.phy_port

    def leaving(self, vlan: int | None, dl_dst: int) -> dict[tuple[str, int], list[int | None]]:
        """What becomes of a frame that br-int sends to all of its patches.

        :returns: bridge and tunnel id (0: no tunnel) → tag of each copy that leaves the host there
        """
        exits: dict[tuple[str, int], list[int | None]] = {}
        for physical, _, phy_port in self.joined():
            for copy in self.sent(physical.bridge, Frame(phy_port, dl_dst, vlan)):
                exits.setdefault((physical.bridge, 0), []).append(copy.vlan)
        if self.view.patch_int is not None:
            for copy in self.sent("br-tun", Frame(self.view.patch_int, dl_dst, vlan)):
                exits.setdefault(("br-tun", copy.tun_id), []).append(copy.vlan)
        return exits


@given(views(), DESTINATIONS)
def test_outbound(view: HostView, dl_dst: int) -> None:
    """A frame leaves the host by the edge of its own network alone: with the segmentation id on a VLAN network, without
    a tag on a flat one, never on a local one; what is of no network never leaves, nor what is for a port here."""
    host = Host(view)
    for vlan in {local.vlan for local in view.networks.values()} | {None, 77, 4094, 4095}:
        exits = host.leaving(vlan, dl_dst)
        local = next((local for local in view.networks.values() if local.vlan == vlan), None)
        if local is None or local.network.network_type is NetworkType.LOCAL:
            assert exits == {}
        elif local.network.network_type.is_tunnel:
            assert exits.keys() <= {
                ("br-tun", local.network.segmentation_id)
            }  # see test_delivery and test_l2_population
        else:
            name, segment = local.network.physical_network or "", local.network.segmentation_id
            reached = name in {physical.name for physical, _, _ in host.joined()}
            stays = stays_here(view, host.compiler, local.network.id, dl_dst)
            carried = reached and host.local_vlan(name, segment) == vlan and not stays
            assert exits == ({(PHYSICAL_BRIDGES[name], 0): [segment]} if carried else {})


@given(views(), DESTINATIONS, st.sampled_from(TAGS))
def test_inbound(view: HostView, dl_dst: int, tag: int | None) -> None:
    """What comes in from a wire gets the local VLAN of its network there as its one tag; all else is dropped."""
    host = Host(view)
    for physical, int_port, _ in host.joined():
        vlan = host.local_vlan(physical.name, tag)
        expected = [] if vlan is None else [Sent(None, vlan, 0)]
        assert host.sent("br-int", Frame(int_port, dl_dst, tag)) == expected


@given(views(), DESTINATIONS, st.sampled_from(TAGS), st.sampled_from(TUNNEL_IDS))
def test_the_host_is_no_bridge_between_edges(view: HostView, dl_dst: int, tag: int | None, tunnel_id: int) -> None:
    """No frame that comes in by one physical bridge or tunnel leaves by another, nor does it go back where it was."""
    host = Host(view)
    inside = {copy.vlan: physical.bridge for physical, int_port, _ in host.joined()
              for copy in host.sent("br-int", Frame(int_port, dl_dst, tag))}  # fmt: skip
    for vlan, bridge in inside.items():
        # br-int sends nothing back into the patch that it came by, which is where its network's frames would leave.
        assert {exit_bridge for exit_bridge, _ in host.leaving(vlan, dl_dst)} <= {bridge}
    for copy in host.sent("br-tun", Frame(TUNNEL_PORT, dl_dst, tag, tunnel_id)):
        # Into br-int: multicast by its port, unicast to where NORMAL has learned the MAC of a device of this host.
        assert copy.port in (None, view.patch_int)
        for handed_on in host.sent("br-int", Frame(PATCH_TUN, dl_dst, copy.vlan)):
            assert {exit_bridge for exit_bridge, _ in host.leaving(handed_on.vlan, dl_dst)} <= {"br-tun"}


@given(views(), DESTINATIONS, st.sampled_from(TAGS))
def test_a_physical_bridge_stays_the_switch_that_it_was(view: HostView, dl_dst: int, tag: int | None) -> None:
    """Whatever does not come from br-int is switched as it is, joined or not."""
    host = Host(view)
    for bridge in PHYSICAL_BRIDGES.values():
        assert host.sent(bridge, Frame(WIRE, dl_dst, tag)) == [Sent(None, tag, 0)]
