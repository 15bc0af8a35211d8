"""What becomes of one frame on a bridge with our flows: as much of OpenFlow as the shapes of our flows need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from apps.framework.flow import VLAN_PRESENT, Field, Flow, ModVlanVid, Move, Normal, Output, PopVlan, SetTunnel


@dataclass(frozen=True)
class Frame:
    """A frame on its way.

    :param in_port: ofport that it came in by
    :param dl_dst: as an integer
    :param vlan: its one tag, None when it has none
    :param tun_id: key of the tunnel it came out of, or will go into
    :param ethertype: behind its tag
    :param dl_src: as an integer
    """

    in_port: int
    dl_dst: int
    vlan: int | None = None
    tun_id: int = 0
    ethertype: int = 0x0800
    dl_src: int = 0x020000000001

    def value(self, field: Field) -> int:
        """A header field as a flow matches on it."""
        values = {
            Field.IN_PORT: self.in_port,
            Field.ETH_DST: self.dl_dst,
            Field.ETH_SRC: self.dl_src,
            Field.VLAN_VID: 0 if self.vlan is None else VLAN_PRESENT | self.vlan,
            Field.TUN_ID: self.tun_id,
            Field.ETH_TYPE: self.ethertype,
        }
        return values[field]


_ATTRIBUTES = {Field.ETH_DST: "dl_dst"}


@dataclass(frozen=True)
class Sent:
    """A copy of the frame that leaves.

    :param port: ofport; None: as MAC learning has it
    """

    port: int | None
    vlan: int | None
    tun_id: int


def matching(flows: Iterable[Flow], frame: Frame) -> Flow | None:
    """The flow of table 0 that takes the frame."""
    hits = [
        flow
        for flow in flows
        if all(frame.value(term.field) & term.effective_mask == term.value for term in flow.match.terms)
    ]
    return max(hits, key=lambda flow: flow.priority, default=None)


def sent(flows: Iterable[Flow], frame: Frame) -> list[Sent]:
    """All copies that leave, in order; none: dropped."""
    flow = matching(flows, frame)
    copies = []
    for action in flow.actions if flow is not None else ():
        if isinstance(action, SetTunnel):
            frame = replace(frame, tun_id=action.tun_id)
        elif isinstance(action, ModVlanVid):
            frame = replace(frame, vlan=action.vlan)
        elif isinstance(action, PopVlan):
            frame = replace(frame, vlan=None)
        elif isinstance(action, Move):
            frame = replace(frame, **{_ATTRIBUTES[action.target]: frame.value(action.source)})
        elif isinstance(action, Normal) and frame.dl_src != frame.dl_dst:  # what is sent to itself is learned from only
            copies.append(Sent(None, frame.vlan, frame.tun_id))
        elif isinstance(action, Output):
            copies.append(Sent(action.port, frame.vlan, frame.tun_id))
    return copies
