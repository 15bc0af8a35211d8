"""Frames of guests, as bytes, and a host's devices that send them."""

from __future__ import annotations

import re
from typing import Any

from os_ken.lib.packet import arp, ethernet, icmpv6, ipv4, ipv6, packet, tcp, udp, vlan

from tests.support.host.ovs import OvsHost

SYN, SYN_ACK = 0x02, 0x12
BROADCAST = "ff:ff:ff:ff:ff:ff"


def frame(source: str, destination: str, ethertype: int, *layers: Any, tag: int | None = None) -> bytes:
    """An Ethernet frame.

    :param source: MAC address
    :param destination: likewise
    :param tag: VLAN id; None: it has no tag
    """
    tags = [] if tag is None else [vlan.vlan(vid=tag, ethertype=ethertype)]
    made = packet.Packet()
    for layer in (ethernet.ethernet(destination, source, 0x8100 if tags else ethertype), *tags, *layers):
        made.add_protocol(layer)
    made.serialize()
    return bytes(made.data).ljust(60, b"\0")


def ip_frame(macs: tuple[str, str], addresses: tuple[str, str], *layers: Any, tag: int | None = None) -> bytes:
    """IPv4 or IPv6 with one more header: TCP, UDP or ICMPv6.

    :param macs: from, to
    :param addresses: from, to
    """
    protocol = {tcp.tcp: 6, udp.udp: 17, icmpv6.icmpv6: 58}[type(layers[0])]
    if ":" in addresses[0]:
        six = ipv6.ipv6(src=addresses[0], dst=addresses[1], nxt=protocol, hop_limit=255)
        return frame(*macs, 0x86DD, six, *layers, tag=tag)
    return frame(*macs, 0x0800, ipv4.ipv4(src=addresses[0], dst=addresses[1], proto=protocol), *layers, tag=tag)


def tcp_frame(macs: tuple[str, str], addresses: tuple[str, str], port: int, bits: int = SYN) -> bytes:
    """A segment from port 40000."""
    return ip_frame(macs, addresses, tcp.tcp(40000, port, seq=100, ack=1, bits=bits, window_size=1000))


def udp_frame(macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int]) -> bytes:
    """A datagram."""
    return ip_frame(macs, addresses, udp.udp(*ports), b"data")


def arp_frame(mac: str, sender: tuple[str, str], asked: str) -> bytes:
    """A question to all.

    :param sender: MAC and IP address that it says to be from
    """
    return frame(mac, BROADCAST, 0x0806, arp.arp(src_mac=sender[0], src_ip=sender[1], dst_ip=asked))


def send(ovs: OvsHost, device: str, sent: bytes) -> None:
    """A device of the dummy datapath sends a frame."""
    ovs.appctl("netdev-dummy/receive", device, sent.hex())


def received(ovs: OvsHost, bridge: str = "br-int") -> dict[int, int]:
    """Number of an OpenFlow port → how many frames have left by it."""
    text = ovs.ofctl("dump-ports", bridge)
    return {int(port): int(count) for port, count in re.findall(r"port +(\d+): rx [^\n]*\n +tx pkts=(\d+)", text)}
