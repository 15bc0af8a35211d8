"""What becomes of one frame on a bridge with our flows: as much of OpenFlow as the shapes of our flows need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import netaddr
from immutables import Map

from apps.framework.flow import (
    IN_PORT,
    VLAN_PRESENT,
    XXREGS,
    Action,
    Field,
    Flow,
    LoadBits,
    ModVlanVid,
    Move,
    Normal,
    Output,
    OutputRegister,
    PopVlan,
    Resubmit,
    SetField,
    SetTunDst,
    SetTunnel,
    SetXxreg,
    StripVlan,
    TrackConnection,
)
from tests.support.openflow.connections import Connections


@dataclass(frozen=True)
class Frame:
    """A frame on its way.

    :param in_port: ofport that it came in by
    :param dl_dst: as an integer
    :param vlan: its one tag, None when it has none
    :param tun_id: key of the tunnel it came out of, or will go into
    :param ethertype: behind its tag
    :param dl_src: as an integer
    :param tun_src: address of the host that has sent it through a tunnel
    :param tun_dst: of the one that it will be sent to, where a flow has set that
    :param payload: fields of what is in it, and registers, with their values; all others are 0
    """

    in_port: int
    dl_dst: int
    vlan: int | None = None
    tun_id: int = 0
    ethertype: int = 0x0800
    dl_src: int = 0x020000000001
    tun_src: str | None = None
    tun_dst: str | None = None
    payload: Map[Field, int] = field(default_factory=Map)

    def value(self, of: Field) -> int:
        """A header field as a flow matches on it."""
        values = {
            Field.IN_PORT: self.in_port,
            Field.ETH_DST: self.dl_dst,
            Field.ETH_SRC: self.dl_src,
            Field.VLAN_VID: 0 if self.vlan is None else VLAN_PRESENT | self.vlan,
            Field.TUN_ID: self.tun_id,
            Field.ETH_TYPE: self.ethertype,
            Field.TUN_SRC: self._sender(4),
            Field.TUN_IPV6_SRC: self._sender(6),
        }
        return values[of] if of in values else self.payload.get(of, 0)

    def having(self, of: Field, value: int) -> Frame:
        """The frame with another value of a field that a flow may set."""
        if of is Field.ETH_SRC:
            return replace(self, dl_src=value)
        if of is Field.ETH_DST:
            return replace(self, dl_dst=value)
        assert of not in (Field.IN_PORT, Field.VLAN_VID, Field.TUN_ID, Field.ETH_TYPE, Field.TUN_SRC)
        return replace(self, payload=self.payload.set(of, value))

    def _sender(self, version: int) -> int:
        address = netaddr.IPAddress(self.tun_src or "0.0.0.0")
        return int(address) if address.version == version else 0


@dataclass(frozen=True)
class Sent:
    """A copy of the frame that leaves.

    :param port: ofport; None: as MAC learning has it
    :param tun_dst: address of the host that it goes to, where a flow has set that
    :param frame: all of it
    """

    port: int | None
    vlan: int | None
    tun_id: int
    tun_dst: str | None = None
    frame: Frame | None = field(default=None, compare=False, repr=False)


def matching(flows: Collection[Flow], frame: Frame, table: int = 0) -> Flow | None:
    """The flow of a table that takes the frame."""
    hits = [
        flow
        for flow in flows
        if flow.table == table
        and all(frame.value(term.field) & term.effective_mask == term.value for term in flow.match.terms)
    ]
    return max(hits, key=lambda flow: flow.priority, default=None)


def sent(
    flows: Collection[Flow],
    frame: Frame,
    connections: Connections | None = None,
    behind: Collection[Flow] | None = None,
) -> list[Sent]:
    """All copies that leave, in order; none: dropped.

    :param connections: what conntrack knows, and learns from the frame
    :param behind: flows that it meets once its connection is looked up, where they are others: Open vSwitch keeps what
        it has made of flows before and behind that apart, and brings each up to date when it comes to it
    """
    return _sent(flows, frame, frame.in_port, 0, connections or Connections(), flows if behind is None else behind)[1]


def _sent(
    flows: Collection[Flow],
    frame: Frame,
    in_port: int,
    table: int,
    connections: Connections,
    behind: Collection[Flow],
) -> tuple[Frame, list[Sent]]:
    """The frame as it is afterwards, and its copies.

    :param in_port: that is taken for its own in the look-up
    """
    flow = matching(flows, replace(frame, in_port=in_port), table)
    copies = []
    for action in flow.actions if flow is not None else ():
        if isinstance(action, Resubmit):
            port = frame.in_port if action.in_port == IN_PORT else action.in_port
            onwards = table if action.table is None else action.table
            frame, more = _sent(flows, frame, port, onwards, connections, behind)
            copies += more
        elif isinstance(action, TrackConnection):
            if action.table is None:
                connections.commit(frame)
            else:  # a copy goes on there, from its own port
                looked_up = connections.looked_up(frame)
                copies += _sent(behind, looked_up, frame.in_port, action.table, connections, behind)[1]
        elif isinstance(action, Normal):
            if frame.dl_src != frame.dl_dst:  # what is sent to itself is learned from only
                copies.append(Sent(None, frame.vlan, frame.tun_id, frame.tun_dst, frame))
        elif isinstance(action, (Output, OutputRegister)):
            to = action.port if isinstance(action, Output) else frame.value(Field.REG9)
            if to != frame.in_port:  # which takes IN_PORT (OpenFlow 1.3 §7.2.5)
                copies.append(Sent(to, frame.vlan, frame.tun_id, frame.tun_dst, frame))
        else:
            frame = _changed(frame, action)
    return frame, copies


def _changed(frame: Frame, action: Action) -> Frame:
    """The frame after an action that sends nothing."""
    if isinstance(action, SetTunnel):
        return replace(frame, tun_id=action.tun_id)
    if isinstance(action, SetTunDst):
        return replace(frame, tun_dst=action.address)
    if isinstance(action, ModVlanVid):
        return replace(frame, vlan=action.vlan)
    if isinstance(action, (PopVlan, StripVlan)):
        return replace(frame, vlan=None)
    if isinstance(action, SetXxreg):
        for register, shift in zip(XXREGS[action.number], (96, 64, 32, 0), strict=True):
            frame = frame.having(register, action.value >> shift & 0xFFFF_FFFF)
        return frame
    if isinstance(action, LoadBits):
        mask = ((1 << action.bits) - 1) << action.first
        return frame.having(Field.REG8, frame.value(Field.REG8) & ~mask | action.value << action.first)
    if isinstance(action, Move):
        return frame.having(action.target, frame.value(action.source))
    assert isinstance(action, SetField), action
    return frame.having(action.field, action.value)
