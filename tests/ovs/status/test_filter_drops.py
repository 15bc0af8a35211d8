"""What port security and security groups drop is counted by reason, and for the right port: with frames of guests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from os_ken.lib.packet import icmpv6, udp

from apps.drop_counters import DropCounters
from controller.config.config import load
from controller.trace.frame_trace import TraceRequest, trace_frame
from tests.support import reference
from tests.support.host.guest_frames import (
    BROADCAST,
    SYN_ACK,
    arp_frame,
    frame,
    ip_frame,
    send,
    tcp_frame,
    udp_frame,
)
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

GUEST, OTHER, PEER = (
    Device(f"tap{number}", f"5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d51{number}", f"fa:16:3e:00:05:1{number}")
    for number in range(3)
)
STRAY = Device("tapstray")
"""Nobody's."""

OWN, ASKER, NOBODY = "10.1.1.10", "10.1.1.12", "10.1.1.99"
LINK_LOCAL, ALL_NODES = "fe80::f816:3eff:fe00:510", "ff02::1"
MAC, TO, FOREIGN = str(GUEST.mac), str(PEER.mac), "fa:16:3e:00:05:99"
BANDS = {band.name for band in DropCounters.bands}


def document() -> dict[str, Any]:
    rules = [
        {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
        {"direction": "egress", "protocol": "udp", "port_range_min": 53, "port_range_max": 53},
    ]
    ports = [
        {
            "id": device.port_id,
            "mac_address": device.mac,
            "fixed_ips": [{"ip_address": f"10.1.1.1{number}"}],
            "port_security_enabled": device is not PEER,
            "security_groups": [] if device is PEER else ["guests"],
        }
        for number, device in enumerate((GUEST, OTHER, PEER))
    ]
    network = {
        "id": reference.NETWORK_ID,
        "name": "guarded",
        "provider:network_type": "gre",
        "provider:segmentation_id": 2,
        "subnets": [{"cidr": "10.1.1.0/24"}],
        "ports": ports,
    }
    return {"networks": [network], "security_groups": [{"name": "guests", "rules": rules}]}


def icmp6(kind: int, data: Any, to: str = ALL_NODES) -> bytes:
    return ip_frame((MAC, "33:33:00:00:00:01"), (LINK_LOCAL, to), icmpv6.icmpv6(kind, 0, 0, data))


def broken_solicitation() -> bytes:
    """With its link-layer address twice."""
    option = icmpv6.nd_option_sla(hw_src=MAC)
    whole = bytearray(icmp6(135, icmpv6.nd_neighbor(dst=LINK_LOCAL, option=option)))
    whole[18:20] = (32 + 8).to_bytes(2, "big")
    return bytes(whole[:86] + whole[78:86])


def cut_off() -> bytes:
    """A header of destination options that goes on behind the packet (RFC 8200 §4.6)."""
    whole = bytearray(udp_frame((MAC, TO), (LINK_LOCAL, ALL_NODES), (0x3A1F, 0)))
    whole[20] = 60
    return bytes(whole)


def dropped_frames() -> Iterator[tuple[str, Device, bytes]]:
    """Band, the device that sends, a frame."""
    own = MAC, TO
    yield "DROP_TAGGED", GUEST, ip_frame(own, (OWN, ASKER), udp.udp(1, 53), b"x", tag=5)
    yield "DROP_SPOOFED_MAC", GUEST, udp_frame((FOREIGN, TO), (OWN, ASKER), (1, 53))
    yield "DROP_ETHERTYPE", GUEST, frame(MAC, BROADCAST, 0x88B5, b"x" * 46)
    yield "DROP_SPOOFED_ARP", GUEST, arp_frame(MAC, (MAC, NOBODY), ASKER)
    yield "DROP_SPOOFED_IP", GUEST, udp_frame(own, (NOBODY, ASKER), (1, 53))
    yield "DROP_SPOOFED_IP", GUEST, udp_frame(own, ("fd00::99", "fd00::1"), (1, 53))
    yield "DROP_DHCP_SERVER", GUEST, udp_frame(own, (OWN, ASKER), (67, 68))
    yield "DROP_DHCP_SERVER", GUEST, udp_frame(own, (LINK_LOCAL, ALL_NODES), (547, 546))
    yield "DROP_ROUTER", GUEST, icmp6(134, icmpv6.nd_router_advert())
    yield "DROP_HIDDEN", GUEST, cut_off()
    yield "DROP_SPOOFED_ND", GUEST, icmp6(136, icmpv6.nd_neighbor(dst="fe80::99"))
    yield "DROP_BROKEN_ND", GUEST, broken_solicitation()
    yield "DROP_INVALID_EGRESS", GUEST, tcp_frame(own, (OWN, ASKER), 80, SYN_ACK)
    yield "DROP_NO_EGRESS_RULE", GUEST, udp_frame(own, (OWN, ASKER), (1, 54))
    yield "DROP_INVALID_INGRESS", PEER, tcp_frame((TO, MAC), (ASKER, OWN), 80, SYN_ACK)
    yield "DROP_NO_INGRESS_RULE", PEER, udp_frame((TO, MAC), (ASKER, OWN), (1, 9))
    yield "DROP_NO_MULTICAST_RULE", PEER, udp_frame((TO, BROADCAST), (ASKER, "10.1.1.255"), (1, 9))
    yield "DROP_UNKNOWN_DEVICE", STRAY, udp_frame((FOREIGN, BROADCAST), (NOBODY, "10.1.1.255"), (1, 9))


def guarded_host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], **metrics: object) -> tuple[Tunbridge, int]:
    """A host with the three ports and one device that is nobody's; the TCP port of its metrics."""
    port = free_tcp_port()
    controller = tunbridge(options={"metrics": {"listen_port": port, **metrics}})
    controller.apply(document())
    ovs.plug_many([GUEST, OTHER, PEER, STRAY])
    for device in (GUEST, OTHER, PEER):
        controller.wait_device(device.name, status="ACTIVE", timeout=60)
    controller.wait_in_sync(60)
    return controller, port


TRACED = (
    ("udp,nw_src=10.1.1.99,nw_dst=10.1.1.12,udp_src=1,udp_dst=53", "(DROP_SPOOFED_IP) because port security: it is"),
    ("udp,nw_src=10.1.1.10,nw_dst=10.1.1.12,udp_src=67,udp_dst=68", "(DROP_DHCP_SERVER) because port security: it is"),
    ("arp,arp_spa=10.1.1.99,arp_tpa=10.1.1.12,arp_sha=fa:16:3e:00:05:10", "(DROP_SPOOFED_ARP) because port security"),
    ("udp,nw_src=10.1.1.10,nw_dst=10.1.1.12,udp_src=1,udp_dst=54", "(DROP_NO_EGRESS_RULE) because no rule of the"),
)


def traced_sentences(controller: Tunbridge) -> None:
    """A trace of such a frame ends where it is counted."""
    config = load([str(controller.config_file)])
    for words, why in TRACED:
        told = trace_frame(config, TraceRequest(str(GUEST.port_id), str(PEER.port_id), words=words))
        assert not told["delivered"] and why in told["sentence"], told["sentence"]


def sent(ovs: OvsHost) -> Counter[str]:
    """Send them all, of each another number; band → how many."""
    number: Counter[str] = Counter()
    for times, (band, device, whole) in enumerate(dropped_frames(), start=1):
        number[band] += times
        for _ in range(times):
            send(ovs, device.name, whole)
    return number


def counted(scrape: Scrape, metric: str, **labels: str) -> dict[str, float]:
    """Band → frames, of those that are not 0."""
    found = {}
    for (name, pairs), value in scrape.series.items():
        told = dict(pairs)
        if name == metric and told.items() >= labels.items() and told["band"] in BANDS and value:
            found[told["band"]] = value
    return found


def test_each_reason_is_counted_for_its_port(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    controller, port = guarded_host(ovs, tunbridge, traffic="ports", port_drops="true")
    traced_sentences(controller)
    expected = sent(ovs)
    assert expected.keys() == BANDS
    last: list[Any] = []

    def totals() -> bool:
        last[:] = [counted(Scrape(port), "tunbridge_dropped_frames_total", bridge="br-int")]
        return bool(last[0] == expected)

    wait_until(totals, 60, lambda: f"{dict(expected)}, and not {last}")
    of_ports = dict(expected)
    for band in ("DROP_NO_MULTICAST_RULE", "DROP_UNKNOWN_DEVICE"):
        del of_ports[band]
    scrape = Scrape(port)
    name = "tunbridge_port_dropped_frames_total"
    assert counted(scrape, name, port=str(GUEST.port_id), device=GUEST.name, bridge="br-int") == of_ports
    assert counted(scrape, name, port=str(OTHER.port_id)) == counted(scrape, name, port=str(PEER.port_id)) == {}


def test_without_flows_of_ports_each_reason_is_counted(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """A foreign MAC address by what it sends, and tags together with unknown devices."""
    controller, port = guarded_host(ovs, tunbridge)
    traced_sentences(controller)
    expected = sent(ovs)
    for band, other in (("DROP_TAGGED", "DROP_UNKNOWN_DEVICE"), ("DROP_SPOOFED_MAC", "DROP_SPOOFED_IP")):
        expected[other] += expected.pop(band)
    last: list[Any] = []

    def totals() -> bool:
        last[:] = [counted(Scrape(port), "tunbridge_dropped_frames_total", bridge="br-int")]
        return bool(last[0] == expected)

    wait_until(totals, 60, lambda: f"{dict(expected)}, and not {last}")
    assert "tunbridge_port_dropped_frames_total" not in Scrape(port).types
