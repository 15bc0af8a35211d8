"""IP packets, ARP and neighbour discovery as frames of the simulator."""

from __future__ import annotations

import netaddr
from immutables import Map

from apps.filtering.rule_meaning import Packet
from apps.framework.flow import LATER_FRAGMENT, Field
from tests.support.openflow.frames import Frame
from topology.security_groups import Ethertype

_PORTS = {
    6: (Field.TCP_SRC, Field.TCP_DST),
    17: (Field.UDP_SRC, Field.UDP_DST),
    132: (Field.SCTP_SRC, Field.SCTP_DST),
}
_ICMP = {1: (Field.ICMPV4_TYPE, Field.ICMPV4_CODE), 58: (Field.ICMPV6_TYPE, Field.ICMPV6_CODE)}


def mac(address: str) -> int:
    """A MAC address as an integer."""
    return int(netaddr.EUI(address))


def ip(address: str) -> int:
    """An IP address as an integer."""
    return int(netaddr.IPAddress(address))


def frame_of(packet: Packet, in_port: int, source: str, destination: str, vlan: int | None = None) -> Frame:
    """A packet in a frame.

    :param source: MAC address
    :param destination: likewise
    """
    is_v4 = packet.ethertype is Ethertype.IPV4
    addresses = (Field.NW_SRC, Field.NW_DST) if is_v4 else (Field.IPV6_SRC, Field.IPV6_DST)
    fields = dict(zip(addresses, (ip(packet.source), ip(packet.destination)), strict=True))
    fields[Field.NW_PROTO] = packet.protocol
    if packet.is_later_fragment:
        fields[Field.NW_FRAG] = LATER_FRAGMENT
        if not is_v4:
            fields[Field.NW_PROTO] = 44  # Open vSwitch does not look behind the fragment's header
    elif packet.protocol in _PORTS:
        fields |= zip(_PORTS[packet.protocol], (packet.source_port, packet.destination_port), strict=True)
    elif packet.protocol in _ICMP:
        fields |= zip(_ICMP[packet.protocol], (packet.destination_port, packet.code), strict=True)
    ethertype = 0x0800 if is_v4 else 0x86DD
    return Frame(in_port, mac(destination), vlan, ethertype=ethertype, dl_src=mac(source), payload=Map(fields))


def arp(in_port: int, dl_src: str, sender: tuple[str, str], target: tuple[str, str], operation: int = 1) -> Frame:
    """An ARP message, to everybody.

    :param sender: MAC and IP address that it tells
    """
    fields = {
        Field.ARP_OP: operation,
        Field.ARP_SHA: mac(sender[0]),
        Field.ARP_SPA: ip(sender[1]),
        Field.ARP_THA: mac(target[0]),
        Field.ARP_TPA: ip(target[1]),
    }
    return Frame(in_port, 2**48 - 1, ethertype=0x0806, dl_src=mac(dl_src), payload=Map(fields))


def discovery(
    in_port: int, dl_src: str, source: str, kind: int, target: str, *, sll: str | None = None, tll: str | None = None
) -> Frame:
    """A message of neighbour discovery, to all nodes."""
    fields = {
        Field.NW_PROTO: 58,
        Field.ICMPV6_TYPE: kind,
        Field.IPV6_SRC: ip(source),
        Field.IPV6_DST: ip("ff02::1"),
        Field.ND_TARGET: ip(target),
        Field.ND_SLL: mac(sll) if sll else 0,
        Field.ND_TLL: mac(tll) if tll else 0,
    }
    return Frame(in_port, 0x3333_0000_0001, ethertype=0x86DD, dl_src=mac(dl_src), payload=Map(fields))
