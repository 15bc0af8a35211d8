"""Conntrack as flows see it: connections that were committed, by zone, and the state of a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.framework.flow import CT_ESTABLISHED, CT_NEW, CT_REPLY, CT_TRACKED, Field

if TYPE_CHECKING:
    from tests.support.openflow.frames import Frame

_ADDRESSES = {0x0800: (Field.NW_SRC, Field.NW_DST), 0x86DD: (Field.IPV6_SRC, Field.IPV6_DST)}
_PORTS = {
    6: (Field.TCP_SRC, Field.TCP_DST),
    17: (Field.UDP_SRC, Field.UDP_DST),
    132: (Field.SCTP_SRC, Field.SCTP_DST),
}

_Tuple = tuple[int, int, tuple[int, int], tuple[int, int]]
"""Zone, protocol, address and port of who has begun, and of the other."""


class Connections:
    """What conntrack of one host remembers."""

    def __init__(self) -> None:
        self.known: set[_Tuple] = set()
        self.lookups = 0
        self.commits = 0

    def looked_up(self, frame: Frame) -> Frame:
        """The frame with the state of its connection."""
        self.lookups += 1
        zone, protocol, source, destination = self._tuple(frame)
        state = CT_NEW
        if (zone, protocol, source, destination) in self.known:
            state = CT_ESTABLISHED
        elif (zone, protocol, destination, source) in self.known:
            state = CT_ESTABLISHED | CT_REPLY
        return frame.having(Field.CT_STATE, CT_TRACKED | state)

    def commit(self, frame: Frame) -> None:
        """Remember the connection of a packet."""
        assert frame.value(Field.CT_STATE) & CT_NEW, "only what is new is committed"
        self.commits += 1
        self.known.add(self._tuple(frame))

    def _tuple(self, frame: Frame) -> _Tuple:
        assert frame.ethertype in _ADDRESSES, "Open vSwitch refuses ct for what is no IP"
        assert frame.vlan is None, "untagged within the tables of filters"
        protocol = frame.value(Field.NW_PROTO)
        ends = [
            (frame.value(address), frame.value(port) if port is not None else 0)
            for address, port in zip(_ADDRESSES[frame.ethertype], _PORTS.get(protocol, (None, None)), strict=True)
        ]
        return frame.value(Field.REG10), protocol, ends[0], ends[1]
