"""What a command line means: ports by their names, where a frame arrives, and what it has in its headers."""

from __future__ import annotations

import pytest

from controller.status.explanation import HostAnswers
from controller.trace.traced_frame import ArrivalPoint, FrameError, compose, find_port, mac_of
from topology.model import FixedIp, Network, NetworkType, Port

RED, BLUE, GREEN = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
A, B, C, SUBNET = (f"00000000-0000-4000-8000-0000000000{number}" for number in (11, 12, 13, 99))
NETWORKS = {
    RED: Network(RED, NetworkType.GRE, 7),
    BLUE: Network(BLUE, NetworkType.VXLAN, 7),
    GREEN: Network(GREEN, NetworkType.VLAN, 7, "physnet1"),
}


def port(id_: str, network_id: str, number: int, ip: str) -> Port:
    return Port(id_, network_id, f"fa:16:3e:00:00:0{number}", (FixedIp(ip, SUBNET),), name="vm")


PORTS = {A: port(A, RED, 1, "10.0.0.1"), B: port(B, RED, 2, "10.0.0.2"), C: port(C, BLUE, 3, "10.0.0.2")}
KNOWN = HostAnswers(PORTS, NETWORKS, status={"ports": [{"id": A, "device": "tapa", "network_id": RED, "vlan": 1}]})


@pytest.mark.parametrize("name", [A, A.upper(), "tapa", "FA:16:3E:00:00:01", "10.0.0.1"])
def test_a_port_by_each_of_its_names(name: str) -> None:
    assert find_port(name, KNOWN).id == A


def test_of_several_that_of_the_network_is_meant_or_that_which_is_here() -> None:
    assert find_port("10.0.0.2", KNOWN, RED).id == B
    assert find_port("10.0.0.2", KNOWN, BLUE).id == C
    assert find_port("vm", KNOWN).id == A
    with pytest.raises(FrameError, match=f"'10.0.0.2' may be port {B} .vm., port {C} .vm.: give an id"):
        find_port("10.0.0.2", KNOWN)


@pytest.mark.parametrize("name", ["nothing", RED, "7", "", "0x7b1d", "10.0.0.9"])
def test_what_is_no_port(name: str) -> None:
    with pytest.raises(FrameError, match="no port is called"):
        find_port(name, KNOWN)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("gre:7:192.0.2.1", RED),
        ("vxlan:7:2001:db8::1", BLUE),
        ("physnet1:7", GREEN),
        ("gre:8:192.0.2.1", None),
        ("geneve:7:192.0.2.1", None),
        ("physnet1", None),
        ("physnet2:7", None),
    ],
)
def test_where_a_frame_arrives(text: str, network: str | None) -> None:
    point = ArrivalPoint.read(text)
    found = point.network(NETWORKS.values())
    assert (str(point), found.id if found is not None else None) == (text, network)


@pytest.mark.parametrize(
    "text", ["", "gre", "gre:7", "gre:x:192.0.2.1", "gre:7:192.0.2.x", "physnet1:x", "p:1:2", ":7"]
)
def test_where_no_frame_arrives(text: str) -> None:
    with pytest.raises(FrameError, match="expected TYPE:ID:ADDRESS"):
        ArrivalPoint.read(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (None, "dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02,icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64"),
        (
            "dl_vlan=9",
            "dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02,dl_vlan=9,icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64",
        ),
        ("tcp, tp_dst=80", "dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02,tcp,tp_dst=80"),
        ("eth_src=FA:16:3E:00:00:09,ipv6", "dl_src=fa:16:3e:00:00:09,dl_dst=fa:16:3e:00:00:02,ipv6"),
        ("dl_dst=ff:ff:ff:ff:ff:ff", "dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5"),
        ("arp dl_dst=ff:ff:ff:ff:ff:ff", "dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,arp"),
    ],
)
def test_what_is_not_said_comes_from_the_ports(words: str | None, said: str) -> None:
    frame = compose(words, PORTS[A], PORTS[B], None, None)
    assert ",".join(frame.words) == said
    assert frame.is_multicast == ("ff:ff" in said)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("in_port=3", "in_port is not a matter of the frame"),
        ("tun_id=3", "tun_id is not a matter of the frame"),
        ("dl_src=x", "dl_src=x: expected a MAC address"),
    ],
)
def test_what_a_frame_cannot_have(words: str, error: str) -> None:
    with pytest.raises(FrameError, match=error):
        compose(words, PORTS[A], PORTS[B], None, None)


def test_addresses_are_needed() -> None:
    with pytest.raises(FrameError, match="dl_dst is needed"):
        compose("icmp", PORTS[A], None, None, None)
    with pytest.raises(FrameError, match="dl_src is needed"):
        compose(None, None, PORTS[A], None, None)


def test_mac_addresses() -> None:
    assert mac_of("01-00-5E-00-00-01") == "01:00:5e:00:00:01"
    assert mac_of("10.0.0.1") is None
