"""Hosts whose tunnels cannot carry a frame are named on both, and in sync; no longer once they fit.

What the underlay does to the packets of a host is said by that host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import yaml

from controller.config.host_options import PORT_PER_PEER
from tests.support.lab.host import UNDERLAY_BRIDGE
from tests.support.lab.lab import Lab
from tests.support.waiting import wait_until

NETWORK_BITS = 24


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts with a VM each, which reach each other. Of the ways to peers Open vSwitch tells port by port."""
    with Lab(ip_version=4, tunnel_mode=PORT_PER_PEER) as lab:
        net = lab.add_network("net", "vxlan", 7)
        for number in (1, 2):
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24")
            lab.add_host(f"h{number}")
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": "gre, vxlan"}})
        for number in (1, 2):
            lab.vms[f"vm{number}"].plug(lab.hosts[f"h{number}"])
        lab.wait_wired()
        lab.vms["vm1"].wait_reaches(lab.vms["vm2"])
        yield lab


def said(lab: Lab, name: str) -> tuple[bool | None, list[str]]:
    """Whether a host is in sync, and its problems; neither while its controller does not answer."""
    state = lab.controllers[name].quick_status()
    return state.get("in_sync"), state.get("problems", [])


def wait_said(lab: Lab, **lines: list[str]) -> None:
    """Wait until the hosts say these, and nothing else, and are in sync all the same."""
    expected = {name: (True, problems) for name, problems in lines.items()}
    wait_until(
        lambda: {name: said(lab, name) for name in lines} == expected,
        30.0,
        lambda: f"they say {[said(lab, name) for name in lines]}",
    )


@pytest.mark.parametrize(
    ("group", "option", "value", "h1", "h2"),
    [
        (
            *("ovs", "local_ip", "192.0.2.222"),
            "host h2: its local_ip 192.0.2.222 is no address of it: tunnels to it carry nothing",
            "[ovs] local_ip 192.0.2.222 is no address of this host: no tunnel carries a frame",
        ),
        (
            *("ovs", "local_ip", "127.0.0.1"),
            "host h2: its local_ip 127.0.0.1 cannot be reached from other hosts: tunnels to it carry nothing",
            "[ovs] local_ip 127.0.0.1 cannot be reached from other hosts: no tunnel carries a frame",
        ),
        (
            *("agent", "vxlan_udp_port", 8472),
            "host h2: vxlan carries nothing, it uses UDP port 8472 and this host 4789 ([agent] vxlan_udp_port)",
            "host h1: vxlan carries nothing, it uses UDP port 4789 and this host 8472 ([agent] vxlan_udp_port)",
        ),
        (
            *("agent", "tunnel_types", "geneve"),
            "host h2: no tunnel, it has geneve and this host gre, vxlan ([agent] tunnel_types)",
            "host h1: no tunnel, it has gre, vxlan and this host geneve ([agent] tunnel_types)",
        ),
    ],
)
def test_a_misfit_is_named_on_both_hosts_and_no_longer_once_it_fits(
    lab: Lab, group: str, option: str, value: object, h1: str, h2: str
) -> None:
    controller = lab.controllers["h2"]
    right = {"local_ip": lab.hosts["h2"].tunnel_ip(), "vxlan_udp_port": 4789, "tunnel_types": "gre, vxlan"}[option]
    controller.restart_with(group, **{option: value})
    wait_said(lab, h1=[h1], h2=[h2])
    assert lab.controllers["h1"].log_text().count(f"{h1} [tunnel-problem]\n") == 1
    controller.restart_with(group, **{option: right})
    wait_said(lab, h1=[], h2=[])
    lab.vms["vm1"].wait_reaches(lab.vms["vm2"])


def test_an_address_that_goes_and_comes(lab: Lab) -> None:
    """No controller is restarted: the host looks again, and tells the other."""
    host = lab.hosts["h2"]
    address = f"{host.tunnel_ip()}/{NETWORK_BITS}"
    host.namespace.ip(f"address del {address} dev {UNDERLAY_BRIDGE}")
    here = f"host h2: its local_ip {host.tunnel_ip()} is no address of it: tunnels to it carry nothing"
    there = f"[ovs] local_ip {host.tunnel_ip()} is no address of this host: no tunnel carries a frame"
    wait_said(lab, h1=[here], h2=[there])
    host.add_address(address)
    wait_said(lab, h1=[], h2=[])


def without_route(lab: Lab) -> tuple[list[str], str, list[str]]:
    """Another route to the peer, or none, is told by Open vSwitch."""
    ip = lab.hosts["h1"].tunnel_ip()
    line = f"host h1: Open vSwitch has no route to its local_ip {ip}: tunnels to it carry nothing"
    return ["route del 192.0.2.0/24"], line, [f"route add 192.0.2.0/24 dev {UNDERLAY_BRIDGE}"]


def with_a_device_down(lab: Lab) -> tuple[list[str], str, list[str]]:
    """The kernel takes the routes away with the device."""
    _, line, _ = without_route(lab)
    return [f"link set {UNDERLAY_BRIDGE} down"], line, [f"link set {UNDERLAY_BRIDGE} up"]


def without_link(lab: Lab) -> tuple[list[str], str, list[str]]:
    """The route leads to a device whose cable is not plugged in."""
    ip = lab.hosts["h1"].tunnel_ip()
    change = ["link add spare type veth peer name far-end", "link set spare up"]
    change += ["address add 192.0.2.99/25 dev spare"]
    line = f"host h1: spare, by which its local_ip {ip} is reached, has no link: tunnels to it carry nothing"
    return change, line, ["link del spare"]


def with_a_small_mtu(lab: Lab) -> tuple[list[str], str, list[str]]:
    """What no longer fits is what the VMs of this host may send."""
    line = (
        f"{UNDERLAY_BRIDGE} carries packets of 1499 bytes, and vxlan networks of this host need 1500: "
        "what is larger does not get through whole"
    )
    return [f"link set {UNDERLAY_BRIDGE} mtu 1499"], line, [f"link set {UNDERLAY_BRIDGE} mtu 1500"]


@pytest.mark.parametrize("fault", [without_route, with_a_device_down, without_link, with_a_small_mtu])
def test_what_the_underlay_lacks_is_named_by_the_host_that_lacks_it(
    lab: Lab, fault: Callable[[Lab], tuple[list[str], str, list[str]]]
) -> None:
    host, controller = lab.hosts["h2"], lab.controllers["h2"]
    change, line, remedy = fault(lab)
    said_before = controller.log_text().count(f"{line} [tunnel-problem")
    host.namespace.ip(*change)
    wait_said(lab, h1=[], h2=[line])
    host.namespace.ip(*remedy)
    wait_said(lab, h1=[], h2=[])
    assert controller.log_text().count(f"{line} [tunnel-problem") == said_before + 2  # when it came, and when it went
    lab.vms["vm1"].wait_reaches(lab.vms["vm2"])


def test_the_mtu_of_a_network_is_followed(lab: Lab) -> None:
    """The device stays as it is; what a VM may send does not."""
    lab.hosts["h2"].namespace.ip(f"link set {UNDERLAY_BRIDGE} mtu 1400")

    def line(needed: int) -> str:
        return (
            f"{UNDERLAY_BRIDGE} carries packets of 1400 bytes, and vxlan networks of this host need {needed}: "
            "what is larger does not get through whole"
        )

    wait_said(lab, h1=[], h2=[line(1500)])
    for mtu, lines in ((1400, [line(1454)]), (1346, []), (1347, [line(1401)])):
        document = yaml.safe_load(lab.write_document().read_text())
        document["networks"][0]["mtu"] = mtu
        path = lab.directory / "small.yaml"
        path.write_text(yaml.safe_dump(document))
        lab.apply_document(path)
        wait_said(lab, h1=[], h2=lines)
    lab.hosts["h2"].namespace.ip(f"link set {UNDERLAY_BRIDGE} mtu 1500")
    wait_said(lab, h1=[], h2=[])


def test_bfd_that_an_operator_switches_on_tells_of_the_peer(lab: Lab) -> None:
    """It is left alone; while one end alone has it, there is no answer."""
    ends = {"h1": "vxlan-c0000202", "h2": "vxlan-c0000201"}
    lab.hosts["h1"].ovs.vsctl("set", "Interface", ends["h1"], "bfd:enable=true")
    wait_said(lab, h1=[f"host h2: tunnel {ends['h1']} does not reach it: BFD is down"], h2=[])
    lab.hosts["h2"].ovs.vsctl("set", "Interface", ends["h2"], "bfd:enable=true")
    wait_said(lab, h1=[], h2=[])
    lab.fabric.ip("link set u-h2 down")
    wait_said(
        lab,
        h1=[f"host h2: tunnel {ends['h1']} does not reach it: BFD is down"],
        h2=[f"host h1: tunnel {ends['h2']} does not reach it: BFD is down"],
    )
    lab.fabric.ip("link set u-h2 up")
    wait_said(lab, h1=[], h2=[])
    for name, tunnel in ends.items():
        lab.hosts[name].ovs.vsctl("set", "Interface", tunnel, "bfd:enable=false")
    lab.vms["vm1"].wait_reaches(lab.vms["vm2"])
