"""What stands against packets of tunnels on their way out of this machine, and how large they may be."""

from __future__ import annotations

import threading

import pytest
from os_ken.lib import hub

from controller.agent.tunnels.tunnel_plan import TunnelOptions, misfits
from controller.agent.tunnels.underlay import LargestPackets, UnderlayWatch, mtu
from controller.vswitch.tunnel_rows import TunnelWay, Underlay
from tests.support.waiting import wait_until
from topology.model import Host, Network, NetworkType

H1 = Host("h1", ("192.0.2.1",), ("gre", "vxlan"), vxlan_udp_port=4789)
H2 = Host("h2", ("192.0.2.2",), ("gre", "vxlan"), vxlan_udp_port=4789)
OPTIONS = TunnelOptions("192.0.2.1", ("gre", "vxlan"))
NO_ROUTE = "host h2: Open vSwitch has no route to its local_ip 192.0.2.2: tunnels to it carry nothing"


@pytest.mark.parametrize(
    ("way", "lines"),
    [
        (TunnelWay("gre", "eth0"), ()),
        (TunnelWay("gre", "eth0", True, "up"), ()),
        (TunnelWay("gre"), (NO_ROUTE,)),
        (
            TunnelWay("gre", "eth0", False),
            ("host h2: eth0, by which its local_ip 192.0.2.2 is reached, has no link: tunnels to it carry nothing",),
        ),
        *(
            (
                TunnelWay("gre", "eth0", True, state),
                (f"host h2: tunnel gre-c0000202 does not reach it: BFD is {state}",),
            )
            for state in ("down", "init", "admin_down")
        ),
    ],
)
def test_what_open_vswitch_says_of_the_way_to_a_host(way: TunnelWay, lines: tuple[str, ...]) -> None:
    """A port of the operator's own is nobody's way."""
    underlay = Underlay({"gre-c0000202": way, "to-site-b": TunnelWay("gre")})
    assert misfits([H1, H2], "h1", OPTIONS, underlay) == lines


def test_what_hosts_say_of_themselves_comes_first() -> None:
    """One line a host, and none that follows from an address that is wrong here."""
    underlay = Underlay({"gre-c0000202": TunnelWay("gre"), "vxlan-c0000202": TunnelWay("vxlan")})
    other = Host("h2", ("192.0.2.2",), ("gre",), lacks_local_ip=True)
    (line,) = misfits([H1, other], "h1", OPTIONS, underlay)
    assert "is no address of it" in line
    (line,) = misfits([Host("h1", ("192.0.2.1",), ("gre",), lacks_local_ip=True), H2], "h1", OPTIONS, underlay)
    assert "is no address of this host" in line


@pytest.mark.parametrize(
    ("local_ip", "csum", "size", "needed"),
    [
        ("192.0.2.1", False, 1499, 1500),
        ("192.0.2.1", False, 1500, None),
        ("192.0.2.1", True, 1503, 1504),
        ("192.0.2.1", True, 1504, None),
        ("2001:db8::1", False, 1519, 1520),
        ("2001:db8::1", False, 1520, None),
        ("2001:db8::1", True, 1523, 1524),
    ],
)
def test_a_device_that_is_too_small(local_ip: str, csum: bool, size: int, needed: int | None) -> None:
    """Of the encapsulations that networks here have, and with what the other IP version and a checksum add."""
    ways = {"gre-c0000202": TunnelWay("gre", "eth0"), "vxlan-c0000202": TunnelWay("vxlan", "eth0")}
    options = TunnelOptions(local_ip, ("gre", "vxlan"), csum=csum)
    found = misfits([H1], "h1", options, Underlay(ways, {"eth0": size}), {"gre": 1500})
    whole = "what is larger does not get through whole"
    line = f"eth0 carries packets of {size} bytes, and gre networks of this host need {needed}: {whole}"
    assert found == ((line,) if needed is not None else ())
    assert misfits([H1], "h1", options, Underlay(ways), {"gre": 1500}) == ()


def network(number: int, kind: NetworkType, size: int | None = None) -> Network:
    return Network(f"{number:08x}-0000-4000-8000-00000000000a", kind, number, mtu=size)


def test_the_largest_packets_of_those_that_are_here() -> None:
    """What has gone counts no more, what nobody has said is Ethernet's; the map is another only when it says so."""
    packets = LargestPackets()
    one, two, three = (
        network(1, NetworkType.GRE, 8954),
        network(2, NetworkType.GRE),
        network(3, NetworkType.VXLAN, 1000),
    )
    vlan = Network(network(4, NetworkType.GRE).id, NetworkType.VLAN, 4, "physnet1", mtu=9000)
    known = {each.id: each for each in (one, two, three, vlan)}
    packets.follow(known, known, {*known})
    assert packets.by_type == {"gre": 9000, "vxlan": 1054}
    before = packets.by_type
    packets.follow([two.id], known, {*known})
    assert packets.by_type is before
    packets.follow([one.id], known, {*known} - {one.id})
    assert packets.by_type == {"gre": 1500, "vxlan": 1054}
    packets.follow([three.id], known | {three.id: network(3, NetworkType.VXLAN, 1446)}, {*known})
    assert packets.by_type == {"gre": 1500, "vxlan": 1500}
    packets.follow([two.id], {}, {two.id})
    assert packets.by_type == {"vxlan": 1500}


def test_the_kernel_knows_mtus_where_open_vswitch_has_its_network() -> None:
    assert mtu("lo", "lo") == 65536
    assert mtu("lo", "br-elsewhere") is None
    assert mtu("no-such-device", "lo") is None


@pytest.mark.skipif(hub.HUB_TYPE != "native", reason="the worker here runs in a native thread")
def test_only_news_of_the_underlay_is_told() -> None:
    told: list[Underlay] = []
    watch = UnderlayWatch("lo", told.append)
    thread = threading.Thread(target=watch.run)
    thread.start()
    ways = {"gre-c0000202": TunnelWay("gre", "lo"), "gre-c0000203": TunnelWay("gre")}
    watch.follow(ways)
    wait_until(lambda: told == [Underlay(ways, {"lo": 65536})], 20, "it is told")
    watch.follow(dict(ways))
    watch.follow({})
    wait_until(lambda: told[1:] == [Underlay()], 20, "only what is another is told")
    watch.stop()
    thread.join(20)
    assert not thread.is_alive()
