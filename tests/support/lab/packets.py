"""IP packets of each protocol that rules are about, as a host would send them, with right lengths and checksums.

The packets say who sends them and whom they are for; nobody has these addresses for his own, so that nobody answers.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct

from tests.support.lab.frames import IPV4, Frame
from tests.support.lab.vm import Vm

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
IPV6, ARP = 0x86DD, 0x0806

SYN, ACK, RST = 0x02, 0x10, 0x04

_numbers = itertools.count(1)
_CRC32C = 0x82F63B78


def token() -> bytes:
    """Data that no other packet has."""
    return b"packet %010d of the lab" % next(_numbers)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _crc32c(data: bytes) -> int:
    """Of SCTP (RFC 9260 appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """What checksums of TCP, UDP and ICMPv6 are of beside the packet (RFC 8200 §8.1).

    :param length: bytes behind the IP header
    """
    ends = b"".join(ipaddress.ip_address(end).packed for end in (source, destination))
    return ends + struct.pack("!II", length, protocol)  # that of IPv4 has the same sum


def segment(protocol: int, source: str, destination: str, first: int, second: int, *, flags: int = SYN) -> bytes:
    """What follows the IP header.

    :param first: source port, or the identifier of an ICMP echo
    :param second: destination port, or type and code of ICMP: type * 256 + code
    :param flags: of TCP
    """
    data = token()
    if protocol == SCTP:
        init = struct.pack("!BBHIIHHI", 1, 0, 20 + len(data), 7, 65536, 1, 1, 1) + data
        plain = struct.pack("!HHII", first, second, 0, 0) + init
        return struct.pack("!HHI", first, second, 0) + struct.pack("<I", _crc32c(plain)) + init
    if protocol not in (TCP, UDP, ICMP, ICMPV6):
        return data

    def build(crc: int) -> bytes:
        if protocol == TCP:
            return struct.pack("!HHIIBBHHH", first, second, 1, 1, 0x50, flags, 8192, crc, 0) + data
        if protocol == UDP:
            return struct.pack("!HHHH", first, second, 8 + len(data), crc) + data
        return struct.pack("!BBHHH", second >> 8, second & 0xFF, crc, first, 1) + data

    empty = build(0)
    pseudo = b"" if protocol == ICMP else pseudo_header(source, destination, protocol, len(empty))
    return build(checksum(pseudo + empty) or 0xFFFF)


def ipv4(
    source: str, destination: str, protocol: int, payload: bytes, *, fragment: int = 0, identifier: int = 0
) -> bytes:
    """An IPv4 packet.

    :param fragment: the 16 bits of flags and offset
    :param identifier: of the fragments of one packet; 0: none that others have
    """
    ends = b"".join(ipaddress.ip_address(end).packed for end in (source, destination))
    identifier = identifier or next(_numbers) & 0xFFFF

    def header(crc: int) -> bytes:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identifier, fragment, 64, protocol, crc) + ends

    return header(checksum(header(0))) + payload


def ipv6(source: str, destination: str, protocol: int, payload: bytes, *, hops: int = 64) -> bytes:
    """An IPv6 packet."""
    ends = b"".join(ipaddress.ip_address(end).packed for end in (source, destination))
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + ends + payload


def framed(source_mac: str, destination_mac: str, packet: bytes) -> Frame:
    """A packet in a frame."""
    return Frame(destination_mac, source_mac, packet, IPV6 if packet[0] >> 4 == 6 else IPV4)


def packet(
    protocol: int, sender: Vm, receiver: Vm, first: int, second: int, *, version: int = 4, flags: int = SYN
) -> Frame:
    """A packet from one VM to another; see :func:`segment`."""
    source, destination = (vm.nic.address(version) for vm in (sender, receiver))
    payload = segment(protocol, source, destination, first, second, flags=flags)
    made = (ipv6 if version == 6 else ipv4)(source, destination, protocol, payload)
    return framed(sender.nic.mac, receiver.nic.mac, made)


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str], *, source: str, destination: str) -> Frame:
    """An ARP packet for IPv4 (RFC 826).

    :param sender: MAC and IP address that it says
    :param target: likewise
    :param source: MAC address of the frame
    """
    words = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    for mac, address in (sender, target):
        words += bytes.fromhex(mac.replace(":", "")) + ipaddress.ip_address(address).packed
    return Frame(destination, source, words.ljust(46, b"\0"), ARP)


def neighbour(kind: int, source: str, destination: str, target: str, *macs: str, frame: tuple[str, str]) -> Frame:
    """A neighbour solicitation (135) or advertisement (136) of RFC 4861, or a redirect (137), or a router's (134).

    :param macs: in its options of a link-layer address: of more than one Open vSwitch reads none
    :param frame: source and destination MAC address of the frame
    """
    begin = struct.pack("!BB", 2 if kind in (136, 137) else 1, 1)
    option = b"".join(begin + bytes.fromhex(mac.replace(":", "")) for mac in macs)
    body = {
        134: struct.pack("!BBHII", 64, 0, 1800, 0, 0),
        137: bytes(4) + 2 * ipaddress.ip_address(target).packed,
    }.get(kind, struct.pack("!I", 0x60000000 if kind == 136 else 0) + ipaddress.ip_address(target).packed)

    def message(crc: int) -> bytes:
        return struct.pack("!BBH", kind, 0, crc) + body + option

    length = len(message(0))
    crc = checksum(pseudo_header(source, destination, ICMPV6, length) + message(0))
    return framed(*frame, ipv6(source, destination, ICMPV6, message(crc), hops=255))
