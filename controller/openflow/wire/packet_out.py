"""OFPT_PACKET_OUT: frames that the switch handles as if they had come in by one of its ports."""

from __future__ import annotations

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire.messages import OpenFlow13, encoded

_ETHERTYPE_VLAN = 0x8100
_ETHERTYPE_LOOPBACK = 0x9000
_SHORTEST = 60
"""Bytes of an Ethernet frame without its checksum."""


def packet_out_normal(in_port: int, frame: bytes, xid: int) -> bytes:
    """OFPT_PACKET_OUT with the action ``NORMAL`` (OpenFlow 1.3.5 §7.3.7).

    :param in_port: ofport that the frame is to have come in by
    :param frame: whole, from its destination on
    """
    actions = [parser.OFPActionOutput(ofp.OFPP_NORMAL, 0)]
    return encoded(parser.OFPPacketOut(OpenFlow13, ofp.OFP_NO_BUFFER, in_port, actions, frame), xid)


def frame_to_itself(mac_address: str, vlan: int) -> bytes:
    """A frame from an address to the same address: a switch learns where that is, and delivers to nobody.

    :param mac_address: e.g. ``fa:16:3e:02:dd:79``
    :param vlan: of its tag
    """
    address = bytes.fromhex(mac_address.replace(":", ""))
    tag = _ETHERTYPE_VLAN.to_bytes(2, "big") + vlan.to_bytes(2, "big")
    return (address + address + tag + _ETHERTYPE_LOOPBACK.to_bytes(2, "big")).ljust(_SHORTEST, b"\0")
