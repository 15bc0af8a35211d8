"""What a secured guest may not say, and what it may: frames of a guest to a victim, by what is wrong with them."""

from __future__ import annotations

import struct

from tests.support.lab.frames import BROADCAST, IPV4, SERVICE_VLAN, Frame
from tests.support.lab.packets import UDP, arp, framed, ipv4, ipv6, neighbour, packet, segment
from tests.support.lab.vm import Vm

GATEWAY = ("fa:16:3e:00:0f:fe", "10.0.0.254", "fd00::fe")
"""Of nobody."""
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
NOBODY = "02:00:00:00:00:66"
PAIR = ("10.7.0.0/24", "00:00:5e:00:01:07")
"""An address pair of the guest: these addresses with this MAC address, and no others."""


def udp(source: str, destination: str, ports: tuple[int, int] = (1000, 2000)) -> bytes:
    """A UDP packet."""
    payload = segment(UDP, source, destination, *ports)
    return (ipv6 if ":" in source else ipv4)(source, destination, UDP, payload)


def spoofed(guest: Vm, victim: Vm) -> dict[str, Frame]:
    """What of it → a frame that no guest may send."""
    mac, ip, ip6 = guest.nic.mac, guest.nic.address(), guest.nic.address(6)
    its_mac, its_ip, its_ip6 = victim.nic.mac, victim.nic.address(), victim.nic.address(6)
    gateway_mac, gateway, gateway6 = GATEWAY
    none, zero = "00:00:00:00:00:00", "0.0.0.0"

    def arp_of(operation: int, said: tuple[str, str], *, source: str = mac, to: str = BROADCAST) -> Frame:
        return arp(operation, said, (none, its_ip), source=source, destination=to)

    def advertised(target: str, link: str, *, source: str = ip6, frame_source: str = mac, to: str = its_mac) -> Frame:
        destination = ALL_NODES if to == ALL_NODES_MAC else its_ip6
        return neighbour(136, source, destination, target, link, frame=(frame_source, to))

    def fragment(protocol: int, data: bytes) -> Frame:
        """The first one of a packet (RFC 8200 §4.5)."""
        return framed(mac, its_mac, ipv6(ip6, its_ip6, 44, struct.pack("!BBHI", protocol, 0, 1, 0xBAD0) + data))

    def options(protocol: int) -> bytes:
        """A header of destination options that has nothing but room (RFC 8200 §4.6)."""
        return bytes((protocol, 31, 1, 252)) + bytes(252)

    plain = framed(mac, its_mac, udp(ip, its_ip))
    found = {
        "MAC address of the neighbour": framed(its_mac, BROADCAST, udp(ip, "255.255.255.255")),
        "MAC address of the gateway": framed(gateway_mac, its_mac, udp(ip, its_ip)),
        "MAC address of nobody": framed(NOBODY, its_mac, udp(ip, its_ip)),
        "MAC address of a group": framed("01:00:5e:00:00:01", its_mac, udp(ip, its_ip)),
        "MAC address of nothing": framed(none, its_mac, udp(ip, its_ip)),
        "IPv4 address of the neighbour": framed(mac, its_mac, udp(its_ip, its_ip)),
        "IPv4 address of the gateway": framed(mac, its_mac, udp(gateway, its_ip)),
        "IPv4 address of nobody": framed(mac, its_mac, udp("198.51.100.1", its_ip)),
        "IPv4 address of loopback": framed(mac, its_mac, udp("127.0.0.1", its_ip)),
        "IPv4 broadcast address": framed(mac, its_mac, udp("255.255.255.255", its_ip)),
        "no IPv4 address": framed(mac, its_mac, udp(zero, its_ip)),
        "no IPv4 address, to all": framed(mac, BROADCAST, udp(zero, "255.255.255.255")),
        "IPv6 address of the neighbour": framed(mac, its_mac, udp(its_ip6, its_ip6)),
        "IPv6 address of the gateway": framed(mac, its_mac, udp(gateway6, its_ip6)),
        "IPv6 address of nobody": framed(mac, its_mac, udp("2001:db8::1", its_ip6)),
        "no IPv6 address": framed(mac, its_mac, udp("::", its_ip6)),
        "another's link-local address": framed(mac, its_mac, udp("fe80::bad", its_ip6)),
        "ARP request of the neighbour's address": arp_of(1, (mac, its_ip)),
        "ARP request of the gateway's address": arp_of(1, (mac, gateway)),
        "ARP request with another MAC address": arp_of(1, (NOBODY, ip)),
        "ARP request in a frame of another": arp_of(1, (mac, ip), source=NOBODY),
        "ARP reply for the neighbour": arp_of(2, (mac, its_ip), to=its_mac),
        "ARP reply for the gateway": arp_of(2, (mac, gateway), to=its_mac),
        "ARP reply with the neighbour's MAC address": arp_of(2, (its_mac, ip), to=its_mac),
        "gratuitous ARP of the neighbour": arp(1, (mac, its_ip), (none, its_ip), source=mac, destination=BROADCAST),
        "gratuitous ARP of the gateway": arp(2, (mac, gateway), (mac, gateway), source=mac, destination=BROADCAST),
        "gratuitous ARP of both": arp(2, (its_mac, its_ip), (none, its_ip), source=its_mac, destination=BROADCAST),
        "NA for the neighbour": advertised(its_ip6, mac),
        "NA for the neighbour, to all": advertised(its_ip6, mac, to=ALL_NODES_MAC),
        "NA for the gateway": advertised(gateway6, mac, to=ALL_NODES_MAC),
        "NA from the neighbour": advertised(its_ip6, mac, source=its_ip6),
        "NA with another's link address": advertised(ip6, its_mac),
        "NA in a frame of another": advertised(ip6, mac, frame_source=NOBODY),
        "NS from the neighbour": neighbour(135, its_ip6, ALL_NODES, its_ip6, mac, frame=(mac, ALL_NODES_MAC)),
        "NS with another's link address": neighbour(135, ip6, ALL_NODES, its_ip6, NOBODY, frame=(mac, ALL_NODES_MAC)),
        "NS with two link addresses": neighbour(135, ip6, ALL_NODES, its_ip6, NOBODY, mac, frame=(mac, ALL_NODES_MAC)),
        "RA": neighbour(134, ip6, ALL_NODES, ip6, mac, frame=(mac, ALL_NODES_MAC)),
        "RA of the gateway": neighbour(134, "fe80::1", ALL_NODES, ip6, mac, frame=(mac, ALL_NODES_MAC)),
        "RA to the neighbour": neighbour(134, ip6, its_ip6, ip6, mac, frame=(mac, its_mac)),
        "redirect": neighbour(137, ip6, its_ip6, gateway6, mac, frame=(mac, its_mac)),
        "IPv6 whose headers do not end in its first fragment": fragment(60, options(58)[:128]),
        "IPv6 whose headers do not end": framed(mac, its_mac, ipv6(ip6, its_ip6, 60, options(58)[:128])),
        "ICMPv6 behind its first fragment": fragment(60, options(58)),
        "UDP behind its first fragment": fragment(60, options(17)),
        "NA in fragments": fragment(58, advertised(ip6, mac).payload[40:]),
        "NS in fragments": fragment(58, neighbour(135, ip6, its_ip6, its_ip6, mac, frame=(mac, its_mac)).payload[40:]),
        "DHCP server": framed(mac, BROADCAST, udp(ip, "255.255.255.255", (67, 68))),
        "DHCP server, to the neighbour": framed(mac, its_mac, udp(ip, its_ip, (67, 68))),
        "DHCPv6 server": framed(mac, its_mac, udp(ip6, its_ip6, (547, 546))),
        "DHCP request in a frame of another": framed(NOBODY, BROADCAST, udp(zero, "255.255.255.255", (68, 67))),
        "tagged": Frame(its_mac, mac, plain.payload, IPV4, (301,)),
        "tagged with the local VLAN": Frame(its_mac, mac, plain.payload, IPV4, (1,)),
        "double tagged": Frame(its_mac, mac, plain.payload, IPV4, (301, 1)),
        "double tagged, 802.1ad": Frame(its_mac, mac, plain.payload, IPV4, (1, 301), SERVICE_VLAN),
        "address of the pair, own MAC address": framed(mac, its_mac, udp("10.7.0.9", its_ip)),
        "MAC address of the pair, own address": framed(PAIR[1], its_mac, udp(ip, its_ip)),
        "beside the pair": framed(PAIR[1], its_mac, udp("10.7.1.9", its_ip)),
        "ARP beside the pair": arp_of(1, (PAIR[1], "10.7.1.9"), source=PAIR[1]),
        "IPv6 with the MAC address of the pair": framed(PAIR[1], its_mac, udp(ip6, its_ip6)),
    }
    return {what: _numbered(frame, number) for number, (what, frame) in enumerate(found.items(), start=1)}


def _numbered(frame: Frame, number: int) -> Frame:
    """The same with bytes after the packet, by which it is known among others that begin alike."""
    mark = struct.pack("!HH", 0xBAD0, number)
    return Frame(frame.destination, frame.source, frame.payload.ljust(60, b"\0") + mark, frame.ethertype, frame.tags,
                 frame.outer_tpid)  # fmt: skip


def legitimate(guest: Vm, victim: Vm) -> dict[str, Frame]:
    """What → a frame that it may send."""
    mac, ip, ip6 = guest.nic.mac, guest.nic.address(), guest.nic.address(6)
    its_mac, its_ip, its_ip6 = victim.nic.mac, victim.nic.address(), victim.nic.address(6)
    none = "00:00:00:00:00:00"
    pair = PAIR[1], "10.7.0.9"
    return {
        "UDP": packet(UDP, guest, victim, 1000, 2000),
        "UDP over IPv6": packet(UDP, guest, victim, 1000, 2000, version=6),
        "ARP": arp(1, (mac, ip), (none, its_ip), source=mac, destination=BROADCAST),
        "gratuitous ARP": arp(1, (mac, ip), (none, ip), source=mac, destination=BROADCAST),
        "ARP probe": arp(1, (mac, "0.0.0.0"), (none, ip), source=mac, destination=BROADCAST),
        "NA": neighbour(136, ip6, its_ip6, ip6, mac, frame=(mac, its_mac)),
        "NS": neighbour(135, ip6, ALL_NODES, its_ip6, mac, frame=(mac, ALL_NODES_MAC)),
        "UDP of the pair": framed(PAIR[1], its_mac, udp(pair[1], its_ip)),
        "ARP of the pair": arp(1, pair, (none, its_ip), source=PAIR[1], destination=BROADCAST),
    }
