"""A message that ends one tracked ICMPv6 echo, for which ``dpctl/flush-conntrack`` must not be used.

Open vSwitch before 3.4 aborts when its own datapath is to flush the tuple of one (fixed in 2.17.10, 3.1.5, 3.2.3 and
3.3.1 too). ``ct(commit,force)`` removes a connection that a packet belongs to in the other direction (ovs-actions(7));
an echo reply begins none itself, so that nothing takes the place of what was removed.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from os_ken.ofproto import nicira_ext
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire.messages import OpenFlow13

_ICMPV6, _ECHO_REPLY, _ETHERTYPE = 58, 129, 0x86DD
_NO_TABLE = 255
"""Of a ``ct`` action: the packet goes no further."""


def echo_end(zone: int, source: str, destination: str, identifier: int) -> Any:
    """An ``OFPPacketOut`` with the reply to an echo, which goes nowhere.

    :param zone: of conntrack
    :param source: IPv6 address of who asked
    :param destination: of who was asked
    :param identifier: of the echo
    """
    force = nicira_ext.NX_CT_F_COMMIT | nicira_ext.NX_CT_F_FORCE
    action = parser.NXActionCT(force, "", zone, _NO_TABLE, 0, [])
    frame = _echo_reply(destination, source, identifier)
    return parser.OFPPacketOut(OpenFlow13, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, [action], frame)


def _echo_reply(source: str, destination: str, identifier: int) -> bytes:
    """A frame (RFC 4443 §4.2, without data) of no MAC addresses."""
    addresses = b"".join(ipaddress.ip_address(address).packed for address in (source, destination))
    message = struct.pack("!BBHHH", _ECHO_REPLY, 0, 0, identifier, 0)
    checksum = _checksum(addresses + struct.pack("!II", len(message), _ICMPV6) + message)
    message = struct.pack("!BBHHH", _ECHO_REPLY, 0, checksum, identifier, 0)
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 64)
    return bytes(12) + struct.pack("!H", _ETHERTYPE) + header + addresses + message


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
