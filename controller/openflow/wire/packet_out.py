"""OFPT_PACKET_OUT: frames that the switch handles as if they had come in by one of its ports."""

from __future__ import annotations

from struct import Struct

from controller.openflow.wire.constants import HEADER, OFP_NO_BUFFER, OFP_VERSION, OFPP_NORMAL, MessageType

_PACKET_OUT = Struct("!IIH6x")
_OUTPUT = Struct("!HHIH6x")
_OFPAT_OUTPUT = 0

_ETHERTYPE_VLAN = 0x8100
_ETHERTYPE_LOOPBACK = 0x9000
_SHORTEST = 60
"""Bytes of an Ethernet frame without its checksum."""


def packet_out_normal(in_port: int, frame: bytes, xid: int) -> bytes:
    """OFPT_PACKET_OUT with the action ``NORMAL`` (OpenFlow 1.3.5 §7.3.7).

    :param in_port: ofport that the frame is to have come in by
    :param frame: whole, from its destination on
    """
    actions = _OUTPUT.pack(_OFPAT_OUTPUT, _OUTPUT.size, OFPP_NORMAL, 0)
    body = _PACKET_OUT.pack(OFP_NO_BUFFER, in_port, len(actions)) + actions + frame
    return HEADER.pack(OFP_VERSION, MessageType.OFPT_PACKET_OUT, HEADER.size + len(body), xid) + body


def frame_to_itself(mac_address: str, vlan: int) -> bytes:
    """A frame from an address to the same address: a switch learns where that is, and delivers to nobody.

    :param mac_address: e.g. ``fa:16:3e:02:dd:79``
    :param vlan: of its tag
    """
    address = bytes.fromhex(mac_address.replace(":", ""))
    tag = _ETHERTYPE_VLAN.to_bytes(2, "big") + vlan.to_bytes(2, "big")
    return (address + address + tag + _ETHERTYPE_LOOPBACK.to_bytes(2, "big")).ljust(_SHORTEST, b"\0")
