"""Interface rows that make no sense: named in the log on one line, and never in the way of another port."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TIMEOUT = 20.0  # seconds
NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORTS = [f"5b8f0e63-3a38-4f1c-9a2e-0000000001{number:02x}" for number in range(60)]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ \S+ ")
"""How each line of the log begins."""


class Host:
    """A controller with a network whose ports are plugged one after the other."""

    def __init__(self, ovs: OvsHost, controller: Tunbridge) -> None:
        self.ovs = ovs
        self.controller = controller
        self._left = iter(PORTS)

    def next_port(self) -> str:
        """Id of a port that no device was ever plugged for."""
        return next(self._left)

    def serves(self) -> None:
        """Plug one more port, and wait until it is up."""
        port_id = self.next_port()
        self.ovs.plug_many([Device(f"tap{port_id[-2:]}", port_id)])
        self.controller.wait_port(port_id, timeout=TIMEOUT)

    def lines(self, device: str) -> list[str]:
        """Lines of the log that say something of a device."""
        return [line for line in self.controller.log_text().splitlines() if f"device {device} " in line]

    def wait_line(self, device: str) -> str:
        """Wait until the log says something of a device; the line."""
        (line,) = wait_until(
            lambda: self.lines(device), TIMEOUT, lambda: f"{device} in the log\n{self.controller.log_tail()}"
        )
        return line

    def port(self, device: str) -> dict[str, Any]:
        """What the status says of a device."""
        ports = self.controller.quick_status().get("ports", [])
        return next((found for found in ports if found["device"] == device), {})

    def plug_raw(self, device: str, external_ids: dict[str, str], **columns: Any) -> None:
        """Plug a device in one OVSDB transaction: nothing of it passes an argument list or a shell."""
        interface = {"name": device, "external_ids": ["map", list(external_ids.items())], **columns}
        port = {"name": device, "interfaces": ["named-uuid", "i"]}
        transaction = [
            "Open_vSwitch",
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": interface},
            {"op": "insert", "table": "Port", "uuid-name": "p", "row": port},
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", "br-int"]],
                "mutations": [["ports", "insert", ["named-uuid", "p"]]],
            },
        ]
        command = ["ovsdb-client", "--timeout=60", "transact", self.ovs.db]
        done = subprocess.run([*command, json.dumps(transaction)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert all("error" not in result for result in json.loads(done.stdout)), done.stdout


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Host]:
    """One host for all cases: none may harm the next."""
    options = {"ovs": {"bridge_mappings": "physnet1:br-ex"}}
    with OvsHost() as ovs:
        ovs.vsctl("add-br", "br-ex")
        with Tunbridge(ovs, hub=hub, options=options) as controller:
            network = {"name": "net1", "id": NETWORK, "provider:network_type": "gre"}
            ports = [{"id": port_id} for port_id in PORTS]
            controller.apply({"networks": [network | {"ports": ports}]})
            controller.wait_in_sync(TIMEOUT)
            yield Host(ovs, controller)


IDS = {
    # Name of the case → iface-id, and how the log has it.
    "no UUID": ("tap-of-a-guest", "iface-id 'tap-of-a-guest' is not a UUID"),
    "a digit short": (PORTS[0][:-1], f"iface-id '{PORTS[0][:-1]}' is not a UUID"),
    "unknown UUID": ("5b8f0e63-3a38-4f1c-9a2e-0000000000ff", "the topology has no such port"),
    "control characters": (
        "x\n2026-01-01 00:00:00.000 ERROR forged\x1b[2J",
        r"x\n2026-01-01 00:00:00.000 ERROR forged",
    ),
    "blank": (" ", "iface-id ' ' is not a UUID"),
    "not ASCII": ("vierzigtausend Äpfel", "iface-id 'vierzigtausend Äpfel' is not a UUID"),
}


@pytest.mark.parametrize(("iface_id", "reason"), IDS.values(), ids=IDS.keys())
def test_an_iface_id_that_names_no_port(host: Host, iface_id: str, reason: str) -> None:
    """The device is dead and said to be so, once and on one line; a port that is plugged with it comes up."""
    device = f"tapid{list(IDS).index(next(name for name, case in IDS.items() if case[0] == iface_id))}"
    host.plug_raw(device, {"iface-id": iface_id})
    host.serves()
    line = host.wait_line(device)
    assert reason in line
    assert host.port(device)["status"] == "DOWN"
    wait_until(lambda: host.ovs.tag(device) == 4095, TIMEOUT, f"{device} has the dead tag")
    assert all(LINE.match(written) for written in host.controller.log_text().splitlines())


def test_an_iface_id_of_100_kilobytes(host: Host) -> None:
    """It is cut to a length that a log bears, in the log and in the status."""
    host.plug_raw("taphuge", {"iface-id": "q" * 100_000})
    host.serves()
    assert len(host.wait_line("taphuge")) < 1000
    assert len(json.dumps(host.port("taphuge"))) < 1000


def test_an_iface_id_in_capitals(host: Host) -> None:
    """A UUID in upper case is the same UUID."""
    port_id = host.next_port()
    host.plug_raw("tapcaps", {"iface-id": port_id.upper()})
    host.controller.wait_port(port_id, timeout=TIMEOUT)
    assert host.port("tapcaps")["id"] == port_id


def test_an_empty_iface_id_is_nobodys(host: Host) -> None:
    """A device without a port's id is left alone: no tag, and it is no port of ours."""
    host.plug_raw("tapempty", {"iface-id": ""})
    host.serves()
    assert host.ovs.tag("tapempty") is None
    assert host.lines("tapempty") == []
    assert host.port("tapempty") == {}


def test_an_openflow_port_that_goes_without_its_row(host: Host) -> None:
    """As of a network device that is deleted: named, and up again when Open vSwitch has made the port anew."""
    port_id = host.next_port()
    host.ovs.plug_many([Device("tapgone", port_id)])
    host.controller.wait_port(port_id, timeout=TIMEOUT)
    number = host.ovs.ofport("tapgone")
    host.ovs.appctl("dpctl/del-if", "system@ovs-system", "tapgone")
    gone = f"the device has no OpenFlow port, though its row says that it is {number}"
    wait_until(lambda: host.port("tapgone")["reason"] == gone, TIMEOUT, lambda: host.controller.log_tail())
    assert host.port("tapgone")["status"] == "DOWN"
    wait_until(lambda: [line for line in host.lines("tapgone") if gone in line], TIMEOUT, "the log says so")
    host.serves()  # a change of the bridge has Open vSwitch make what is missing
    host.controller.wait_port(port_id, timeout=TIMEOUT)


@pytest.mark.parametrize(
    "attached_mac",
    ["fa:16:3e", "01:00:5e:00:00:01", "", "x" * 100_000, "fa:16:3e:00:00:01\nforged"],
    ids=["short", "multicast", "empty", "100 kB", "two lines"],
)
def test_an_attached_mac_that_is_none(host: Host, attached_mac: str) -> None:
    """The port comes up with the address that the topology has, and one warning tells of the difference."""
    port_id = host.next_port()
    device = f"tapmac{port_id[-2:]}"
    host.plug_raw(device, {"iface-id": port_id, "attached-mac": attached_mac})
    host.controller.wait_port(port_id, timeout=TIMEOUT)
    warnings = [line for line in host.lines(device) if "attached-mac" in line]
    assert len(warnings) == 1
    assert "the port's is used" in warnings[0]
    assert len(warnings[0]) < 1000
    assert all(LINE.match(written) for written in host.controller.log_text().splitlines())
    mac = host.controller.topology_ports()[port_id]["mac_address"]
    assert any(f"dl_dst={mac} " in flow for flow in host.ovs.dump("br-tun"))


def test_external_ids_of_100_kilobytes(host: Host) -> None:
    """What else is written at a device, however large and odd, is nobody's business."""
    port_id = host.next_port()
    odd = {"iface-id": port_id, "vm-name": "v" * 100_000, "note\n\x1b": "\n\t\x1b[31m\u202e"}
    host.plug_raw("tapids", odd)
    host.controller.wait_port(port_id, timeout=TIMEOUT)
    assert "v" * 100 not in host.controller.log_text()


def test_names_that_begin_with_the_same_fifteen_characters(host: Host) -> None:
    """Names that OpenFlow tells alike, because it cuts them off, are told apart, and each port has its own ofport."""
    names = ["tap456789012345", "tap45678901234567", "tap45678901234568"]
    port_ids = [host.next_port() for _ in names]
    for name, port_id in zip(names, port_ids, strict=True):
        host.plug_raw(name, {"iface-id": port_id})
    for name, port_id in zip(names, port_ids, strict=True):
        host.controller.wait_port(port_id, timeout=TIMEOUT)
        assert host.port(name)["ofport"] == host.ovs.ofport(name)
    host.ovs.unplug(*names[1:])
    for port_id in port_ids[1:]:
        host.controller.wait_port(port_id, "DOWN", timeout=TIMEOUT)


def test_a_device_that_cannot_be_made(host: Host) -> None:
    """An ofport of -1 is said with Open vSwitch's reason; made right, the device binds by itself."""
    port_id = host.next_port()
    host.plug_raw("tapnone", {"iface-id": port_id}, type="nonsense")
    wait_until(lambda: host.ovs.ofport("tapnone") == -1, TIMEOUT, "ofport is -1")
    host.serves()
    wait_until(
        lambda: "Open vSwitch could not make the device: " in str(host.port("tapnone").get("reason")),
        TIMEOUT,
        lambda: f"the reason, not {host.port('tapnone')}",
    )
    host.ovs.vsctl("set", "Interface", "tapnone", "type=dummy")
    host.controller.wait_port(port_id, timeout=TIMEOUT)


PLACES = {
    # Interface → what is said of it; None: nothing, it is no bridge of this host's.
    "br-int": "it is the bridge's own port",
    "patch-tun": "it is a patch between bridges of this host",
    "patch-int": "it is a patch between bridges of this host",
    "br-tun": "it is on br-tun, and devices are served on br-int alone",
    "taptun": "it is on br-tun, and devices are served on br-int alone",
    "tapphy": "it is on br-ex, and devices are served on br-int alone",
    "tapother": None,
}


@pytest.mark.parametrize("device", PLACES)
def test_an_iface_id_where_no_device_is_served(host: Host, device: str) -> None:
    """It is said, in the log once and in the status until it is gone; other ports are served, and it is in sync."""
    bridge = {"taptun": "br-tun", "tapphy": "br-ex", "tapother": "br-other"}.get(device)
    if bridge is not None:
        host.ovs.vsctl(
            "--may-exist",
            "add-br",
            bridge,
            "--",
            "add-port",
            bridge,
            device,
            "--",
            "set",
            "Interface",
            device,
            "type=internal",
        )
    host.ovs.vsctl("set", "Interface", device, f"external_ids:iface-id={host.next_port()}")

    def said() -> list[str]:
        problems = host.controller.quick_status().get("problems", [])
        return [problem for problem in problems if "iface-id is ignored" in problem]

    why = PLACES[device]
    expected = [] if why is None else [f"device {device}: its external_ids:iface-id is ignored: {why}"]
    host.serves()
    wait_until(lambda: said() == expected, TIMEOUT, lambda: f"{expected}, not {said()}")
    host.controller.wait_in_sync(TIMEOUT)
    assert host.controller.log_text().count(f" device {device}: its external_ids:iface-id") == len(expected)
    if bridge is not None:
        host.ovs.vsctl("del-port", bridge, device)
    else:
        host.ovs.vsctl("remove", "Interface", device, "external_ids", "iface-id")
    wait_until(lambda: said() == [], TIMEOUT, lambda: f"no word of {device}, not {said()}")


def test_all_is_in_sync_after_all_of_it(host: Host) -> None:
    """What is wrong with devices leaves no flow missing or left over, and no problem but of what is in all networks."""
    host.serves()
    status = host.controller.wait_in_sync(TIMEOUT)
    in_all = "device tapempty: it has no external_ids:iface-id and is a trunk of all VLANs"
    assert [problem for problem in status["problems"] if not problem.startswith(in_all)] == []
