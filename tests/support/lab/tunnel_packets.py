"""Packets of the underlay with a frame of a network in them, as somebody makes them who is no tunnel."""

from __future__ import annotations

import ipaddress
import struct

from tests.support.lab.frames import Frame

_GRE, _UDP = 47, 17
_PORTS = {"vxlan": 4789, "geneve": 6081}
_TRANSPARENT_ETHERNET = 0x6558

NOBODY = {4: "192.0.2.77", 6: "2001:db8::77"}
"""IP version → an address on the underlay that no host has."""


def encapsulated(kind: str, source: str, target: str, tunnel_id: int, inner: Frame) -> tuple[int, bytes]:
    """Ethertype, and the IPv4 or IPv6 packet, with a frame in GRE, VXLAN or Geneve.

    RFC 791, 8200, 2890, 7348 and 8926; without checksums but that of IPv4.

    :param source: address on the underlay
    :param target: likewise
    """
    payload = inner.encode()
    if kind == "gre":
        protocol, payload = _GRE, struct.pack("!HHI", 0x2000, _TRANSPARENT_ETHERNET, tunnel_id) + payload
    else:
        head = struct.pack("!II", 0x0800_0000 if kind == "vxlan" else _TRANSPARENT_ETHERNET, tunnel_id << 8)
        protocol, payload = _UDP, struct.pack("!HHHH", 50000, _PORTS[kind], 16 + len(payload), 0) + head + payload
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(ends) != 8:
        return 0x86DD, struct.pack("!IHBB", 0x6000_0000, len(payload), protocol, 64) + ends + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + ends
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = 0xFFFF & ~(total + (total >> 16))
    return 0x0800, header[:10] + struct.pack("!H", checksum) + header[12:] + payload
