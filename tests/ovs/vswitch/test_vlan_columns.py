"""All VLAN columns of a device's Port are ours: what is bound is a plain access port, what is not is in no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import DEAD_VLAN, Host, Port, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

_DATAPATH_PORT = re.compile(r"^ *(\S+) \d+/(\d+):", re.MULTILINE)
COLUMNS = ("tag", "vlan_mode", "trunks", "cvlans")
DEAD = {"tag": DEAD_VLAN, "vlan_mode": "trunk", "trunks": [DEAD_VLAN], "cvlans": None}
BROADCAST = "dl_src=02:00:00:00:00:99,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5"

_REPORT = "it has no external_ids:iface-id and is a trunk of all VLANs"

PLUGGED = {
    "a trunk of all": ("vlan_mode=trunk",),
    "a trunk of all with a tag": ("tag=10", "vlan_mode=trunk"),
    "a trunk of some": ("trunks=1,2,3",),
    "native-tagged": ("tag=10", "vlan_mode=native-tagged"),
    "native-untagged": ("tag=1", "vlan_mode=native-untagged"),
    "native-untagged, with trunks": ("tag=10", "vlan_mode=native-untagged", "trunks=1,2"),
    "a tunnel with another ethertype": ("tag=1", "vlan_mode=dot1q-tunnel", "other_config:qinq-ethtype=802.1q"),
    "access, with priority tags": ("tag=1", "other_config:priority-tags=always"),
    "a tunnel": ("tag=1", "vlan_mode=dot1q-tunnel", "cvlans=7,8"),
    "access": ("tag=1", "vlan_mode=access", "trunks=5"),
    "dead, as Neutron's agent has it": ("tag=4095", "vlan_mode=trunk", "trunks=4095"),
    "dead, as libvirt can have it": ("trunks=4095",),
    "dead by its tag alone": ("tag=4095",),
}
"""What people plug with."""


@pytest.fixture
def host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Host:
    controller = tunbridge()
    controller.wait_in_sync()
    return Host(ovs, controller)


def columns(ovs: OvsHost, name: str) -> dict[str, Any]:
    row = ovs.row("Port", name)
    return {column: row[column] if column in COLUMNS[:2] else _set(row[column]) for column in COLUMNS}


def _set(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


def wait_columns(ovs: OvsHost, name: str, right: dict[str, Any]) -> None:
    wait_until(lambda: columns(ovs, name) == right, 20, lambda: f"{name} is {columns(ovs, name)}, not {right}")


def access(vlan: int) -> dict[str, Any]:
    return {"tag": vlan, "vlan_mode": None, "trunks": None, "cvlans": None}


def reached(ovs: OvsHost, sender: str, *victims: str, tag: str = "") -> set[str]:
    """To which of some devices a broadcast of another one goes."""
    text = ovs.trace("br-int", f"in_port={ovs.ofport(sender)},{BROADCAST}{tag}").splitlines()[-1]
    assert text.startswith("Datapath actions:"), text
    actions = set(text.partition(":")[2].replace(" ", "").split(","))
    numbers: dict[str, str] = dict(_DATAPATH_PORT.findall(ovs.appctl("dpif/show")))
    return {name for name in victims if numbers[name] in actions}


def plug(ovs: OvsHost, name: str, port_id: str | None, *words: str) -> None:
    ids = [f"external_ids:iface-id={port_id}"] if port_id is not None else ["external_ids:of=others"]
    ovs.vsctl("add-port", "br-int", name, *words, "--", "set", "Interface", name, *ids)


def victim(host: Host) -> Port:
    """A bound port of another network, which gets local VLAN 1."""
    network = new_network()
    port = new_port(network)
    host.add_networks(network)
    host.wire(port)
    return port


@pytest.mark.parametrize("words", PLUGGED.values(), ids=PLUGGED.keys())
def test_what_is_bound_is_a_plain_access_port(host: Host, words: tuple[str, ...]) -> None:
    """Whatever the row said when it was plugged, the device is in its own network alone, both ways."""
    ovs, other, network = host.ovs, victim(host), new_network()
    port = new_port(network)
    host.add_networks(network)
    host.add_ports(port)
    plug(ovs, port.name, port.id, *words)
    vlan = host.wait_active(port)["vlan"]
    assert columns(ovs, port.name) == access(vlan)
    wait_until(lambda: not host.tunbridge.quick_status()["drift"]["tags"]["times"], 5, "that is no drift")
    wait_until(lambda: reached(ovs, other.name, port.name) == set(), 20, "it hears no other network")
    for tag in ("", f",dl_vlan={ovs.tag(other.name)}"):
        assert reached(ovs, port.name, other.name, tag=tag) == set()


@pytest.mark.parametrize("words", PLUGGED.values(), ids=PLUGGED.keys())
def test_what_is_not_bound_is_in_no_network(host: Host, words: tuple[str, ...]) -> None:
    """A device whose port nobody knows hears no network and reaches nobody, also with no controller."""
    ovs, other = host.ovs, victim(host)
    for name in ("dead1", "dead2"):
        plug(ovs, name, f"{name[-1] * 8}-2222-4333-8444-555555555555", *words)
        wait_columns(ovs, name, DEAD)
    host.tunbridge.stop()
    ovs.ofctl("del-flows", "br-int", "in_port=dead1")
    wait_until(lambda: reached(ovs, "dead1", "dead2", other.name) == set(), 20, "it reaches nobody")
    assert reached(ovs, other.name, "dead1", "dead2") == set()
    assert reached(ovs, "dead1", other.name, tag=f",dl_vlan={ovs.tag(other.name)}") == set()


def test_dead_devices_that_tag_themselves_need_a_drop_flow_or_protection(host: Host) -> None:
    """What is said of them in docs/operations.md, with no controller; it never writes the column that does."""
    ovs, words = host.ovs, PLUGGED["dead, as Neutron's agent has it"]
    host.tunbridge.stop()
    for name in ("dead1", "dead2"):
        plug(ovs, name, f"{name[-1] * 8}-2222-4333-8444-555555555555", *words)
    assert reached(ovs, "dead1", "dead2") == set()
    assert reached(ovs, "dead1", "dead2", tag=",dl_vlan=4095") == {"dead2"}
    for name in ("dead1", "dead2"):
        ovs.vsctl("set", "Port", name, "protected=true")
    assert reached(ovs, "dead1", "dead2", tag=",dl_vlan=4095") == set()
    host.tunbridge.start()
    host.tunbridge.wait_in_sync()
    for name in ("dead1", "dead2"):
        ovs.vsctl("set", "Port", name, "protected=false")
    wait_until(lambda: not reached(ovs, "dead1", "dead2", tag=",dl_vlan=4095"), 20, "the drop flows keep them apart")
    assert not ovs.row("Port", "dead1")["protected"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("vlan_mode=trunk",), "vlan_mode is trunk, not unset"),
        (
            ("vlan_mode=native-untagged", "trunks=1,7"),
            "vlan_mode is native-untagged, not unset, trunks is 1,7, not unset",
        ),
        (("trunks=9",), "trunks is 9, not unset"),
        (("vlan_mode=dot1q-tunnel", "cvlans=3"), "vlan_mode is dot1q-tunnel, not unset, cvlans is 3, not unset"),
    ],
)
def test_what_others_change_is_drift(host: Host, change: tuple[str, ...], told: str) -> None:
    """It is put right, and shown; the row that is right is not written again."""
    port = victim(host)
    right = columns(host.ovs, port.name)
    host.ovs.vsctl("set", "Port", port.name, *change)
    wait_columns(host.ovs, port.name, right)
    host.tunbridge.wait_log(f"device {port.name}: {told}: others have changed it, it is written again")
    assert host.tunbridge.status()["drift"]["tags"] | {"found_at": None} == {
        "times": 1,
        "found_at": None,
        "last": f"device {port.name}: {told}",
    }
    host.assert_bound(port)
    version = host.ovs.port_versions()[port.name]
    host.tunbridge.restart()
    host.tunbridge.wait_in_sync()
    assert host.ovs.port_versions()[port.name] == version


TRUNKS = {
    "no tag": (),
    "a tag that does not count": ("tag=5", "vlan_mode=trunk"),
    "native": ("tag=5", "vlan_mode=native-untagged"),
}


@pytest.mark.parametrize("words", TRUNKS.values(), ids=TRUNKS.keys())
def test_a_trunk_that_is_nobodys_is_reported(host: Host, words: tuple[str, ...]) -> None:
    """Once in the log, and by ``tunbridge status`` until it is none any more; nothing is written to its row."""
    host.ovs.vsctl("add-br", "br-x")
    for name, peer, bridge in (("to-x", "from-x", "br-int"), ("from-x", "to-x", "br-x")):
        patch = ("--", "set", "Interface", name, "type=patch", f"options:peer={peer}")
        host.ovs.vsctl("add-port", bridge, name, *words, *patch)
    plug(host.ovs, "eth1", None, *words)
    wait_until(lambda: len(problems(host)) == 2, 20, lambda: str(problems(host), strict=True))
    assert all(
        line.startswith(f"device {name}: {_REPORT}")
        for name, line in zip(("eth1", "to-x"), problems(host), strict=True)
    )
    before = host.ovs.port_versions()
    host.ovs.vsctl("set", "Interface", "eth1", "external_ids:of=me")
    for name in ("eth1", "to-x"):
        host.tunbridge.wait_log(f"device {name}: {_REPORT}")
        assert host.tunbridge.log.read_text().count(f"device {name}: {_REPORT}") == 1
        assert host.ovs.port_versions()[name] == before[name]
    host.ovs.vsctl("set", "Port", "eth1", "tag=7", "vlan_mode=access", "--", "set", "Port", "to-x", "trunks=7,8")
    wait_until(lambda: not problems(host), 20, lambda: str(problems(host), strict=True))
    if "tag=5" in words:
        return
    host.ovs.vsctl("clear", "Port", "eth1", "tag", "--", "clear", "Port", "eth1", "vlan_mode")
    wait_until(lambda: len(problems(host)) == 1, 20, lambda: str(problems(host), strict=True))
    host.ovs.vsctl("del-port", "eth1")
    wait_until(lambda: not problems(host), 20, lambda: str(problems(host), strict=True))


def problems(host: Host) -> list[str]:
    return [str(line) for line in host.tunbridge.quick_status()["problems"]]


def test_a_port_that_goes_to_another_bridge_and_comes_back_is_bound_again(host: Host) -> None:
    port = victim(host)
    row = host.ovs.vsctl("get", "Port", port.name, "_uuid").strip()
    host.ovs.vsctl("add-br", "br-x")
    host.ovs.vsctl("remove", "Bridge", "br-int", "ports", row, "--", "add", "Bridge", "br-x", "ports", row)
    wait_until(lambda: host.tunbridge.quick_status()["ports"] == [], 20, "it is no device of br-int")
    host.ovs.vsctl("remove", "Bridge", "br-x", "ports", row, "--", "add", "Bridge", "br-int", "ports", row)
    host.wait_active(port)
