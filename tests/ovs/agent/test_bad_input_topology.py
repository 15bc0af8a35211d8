"""Topology rows written by hand: each that makes no sense is named once and left out, and all others stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TIMEOUT = 20.0  # seconds
START = Callable[..., Tunbridge]
Row = dict[str, Any]

GOOD_NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
GOOD_PORTS = [f"5b8f0e63-3a38-4f1c-9a2e-0000000001{number:02x}" for number in range(40)]
BAD_NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000bad"
BAD_PORT = "5b8f0e63-3a38-4f1c-9a2e-00000000bad0"
MAC = "fa:16:3e:0b:ad:00"


def insert(table: str, row: Row, name: str | None = None) -> Row:
    operation: Row = {"op": "insert", "table": table, "row": row}
    return operation | ({"uuid-name": name} if name else {})


def network(network_type: str = "gre", *, segment: Row | None = None, **columns: Any) -> list[Row]:
    """A network row, with a segment where one is given."""
    row = {"id": BAD_NETWORK, "name": "by-hand", "network_type": network_type, "admin_state_up": True, **columns}
    if segment is None:
        return [insert("Network", row, "network")]
    segments = {"segments": ["set", [["named-uuid", "segment"]]]}
    return [insert("Segment", segment, "segment"), insert("Network", row | segments, "network")]


GRE_7 = {"network_type": "gre", "segmentation_id": 7}


def port(**columns: Any) -> list[Row]:
    """A port on a network that is right."""
    row = {"id": BAD_PORT, "mac_address": MAC, "admin_state_up": True, "status": "DOWN", **columns}
    return [*network(segment=GRE_7), insert("Port", row | {"network": ["named-uuid", "network"]})]


def subnet(**columns: Any) -> list[Row]:
    """A network with one subnet."""
    row = {"id": "5b8f0e63-3a38-4f1c-9a2e-00000000bad5", "cidr": "10.0.0.0/24", **columns}
    return [insert("Subnet", row, "subnet"), *network(segment=GRE_7, subnets=["set", [["named-uuid", "subnet"]]])]


CASES: dict[str, tuple[list[Row], str]] = {
    # Name of the case → what is inserted, what is said of it.
    "network id is no UUID": (
        network(segment=GRE_7, id="demo_net1"),
        "Network demo_net1 is left out: id: 'demo_net1' is not a UUID",
    ),
    "network id in capitals": (network(segment=GRE_7, id=BAD_NETWORK.upper()), f"must be written as '{BAD_NETWORK}'"),
    "no segment": (network(), "provider:segmentation_id: a gre network needs one"),
    "segmentation id 0": (
        network(segment=GRE_7 | {"segmentation_id": 0}),
        "provider:segmentation_id: a gre network needs one",
    ),
    "VXLAN id of 25 bits": (
        network("vxlan", segment={"network_type": "vxlan", "segmentation_id": 2**24}),
        "provider:segmentation_id: 16777216 is not in 1..16777215 of vxlan",
    ),
    "VLAN 4095": (
        network("vlan", segment={"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 4095}),
        "provider:segmentation_id: 4095 is not in 1..4094 of vlan",
    ),
    "VLAN without a physical network": (
        network("vlan", segment={"network_type": "vlan", "segmentation_id": 7}),
        "provider:physical_network: a vlan network needs one",
    ),
    "GRE with a physical network": (
        network(segment=GRE_7 | {"physical_network": "physnet1"}),
        "provider:physical_network: a gre network has none",
    ),
    "flat with a segmentation id": (
        network("flat", segment={"network_type": "flat", "physical_network": "physnet1", "segmentation_id": 7}),
        "provider:segmentation_id: a flat network has none",
    ),
    "segment of another type": (
        network("vxlan", segment=GRE_7),
        "segments: has gre on a network of type vxlan",
    ),
    "local network with a segment": (network("local", segment=GRE_7), "segments: has gre on a network of type local"),
    "port id is no UUID": (port(id="99"), "Port 99 is left out: id: '99' is not a UUID"),
    "port id in capitals": (port(id=BAD_PORT.upper()), f"must be written as '{BAD_PORT}'"),
    "MAC that is none": (port(mac_address="fa:16:3e"), "mac_address: 'fa:16:3e' is not a MAC address"),
    "multicast MAC": (port(mac_address="01:00:5e:00:00:01"), "01:00:5e:00:00:01 is a multicast address"),
    "broadcast MAC": (port(mac_address="ff:ff:ff:ff:ff:ff"), "ff:ff:ff:ff:ff:ff is a multicast address"),
    "MAC of zeros": (port(mac_address="00:00:00:00:00:00"), "00:00:00:00:00:00 is not the address of a port"),
    "MAC in another spelling": (port(mac_address="FA-16-3E-0B-AD-00"), f"must be written as '{MAC}'"),
    "CIDR with host bits": (subnet(cidr="10.0.0.1/24"), "cidr: '10.0.0.1/24' is not a CIDR such as 10.0.0.0/24"),
    "gateway elsewhere": (subnet(gateway_ip="192.0.2.1"), "gateway_ip: 192.0.2.1 is not in 10.0.0.0/24"),
    "control characters": (port(id="x\n2026-01-01 ERROR forged\x1b[2J"), r"x\n2026-01-01 ERROR forged\x1b[2J"),
    "id of 1 kB": (port(id="z" * 1_000), "is not a UUID"),  # the server takes none that is longer
}


class Host:
    """A controller with a network that is right."""

    def __init__(self, controller: Tunbridge) -> None:
        self.controller = controller
        self._left = iter(GOOD_PORTS)

    def serves(self) -> None:
        """Plug one more port of the network that is right, and wait until it is up."""
        port_id = next(self._left)
        self.controller.ovs.plug(f"tap{port_id[-2:]}", port_id)
        self.controller.wait_port(port_id, timeout=TIMEOUT)

    def problems(self) -> list[str]:
        found: list[str] = self.controller.quick_status().get("problems", [])
        return found

    def errors(self) -> list[str]:
        """Lines of the log that say that something is wrong with the topology."""
        return [line for line in self.controller.log_text().splitlines() if " is left out: " in line]


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Host]:
    """One host for all cases: none may harm the next."""
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub) as controller:
        good = {"name": "good", "id": GOOD_NETWORK, "provider:network_type": "gre", "provider:segmentation_id": 2}
        controller.apply({"networks": [good | {"ports": [{"id": port_id} for port_id in GOOD_PORTS]}]})
        controller.wait_in_sync(TIMEOUT)
        yield Host(controller)


def delete_by_hand(controller: Tunbridge) -> None:
    """Delete all networks and ports but those of the good network."""
    rows = controller.topology_transact({"op": "select", "table": "Network", "where": [["id", "==", GOOD_NETWORK]]})
    good = rows[0]["rows"][0]["_uuid"]
    controller.topology_transact(
        {"op": "delete", "table": "Port", "where": [["network", "!=", good]]},
        {"op": "delete", "table": "Network", "where": [["_uuid", "!=", good]]},
    )


@pytest.mark.parametrize(("rows", "reason"), CASES.values(), ids=CASES.keys())
def test_a_row_that_makes_no_sense(host: Host, rows: list[Row], reason: str) -> None:
    """It is named once in the log and in the status, a port elsewhere comes up, and with the row goes the problem."""
    before = len(host.errors())
    results = host.controller.topology_transact(*rows)
    assert [result.get("error") for result in results] == [None] * len(rows)  # the schema lets it in
    try:
        problems = wait_until(host.problems, TIMEOUT, lambda: f"a problem in\n{host.controller.log_tail()}")
        host.serves()
        errors = host.errors()[before:]
    finally:
        delete_by_hand(host.controller)
    assert len(problems) == 1
    assert len(errors) == 1
    assert reason in errors[0]
    assert reason.rpartition(" is left out: ")[2] in problems[0].encode("unicode_escape").decode()
    assert len(problems[0]) < 1000
    assert len(errors[0]) < 1000
    wait_until(lambda: not host.problems(), TIMEOUT, lambda: f"no problem any more\n{host.controller.log_tail()}")


def test_a_port_of_a_network_that_makes_no_sense(host: Host) -> None:
    """It is not bound, which the status explains; the network put right, it comes up by itself."""
    row = {"id": BAD_PORT, "mac_address": MAC, "admin_state_up": True, "status": "DOWN"}
    host.controller.topology_transact(*network(), insert("Port", row | {"network": ["named-uuid", "network"]}))
    host.controller.ovs.plug("tapbad", BAD_PORT)

    def reason() -> str | None:
        ports = host.controller.quick_status().get("ports", [])
        return next((found["reason"] for found in ports if found["id"] == BAD_PORT), None)

    try:
        wait_until(
            lambda: reason() == f"the topology has no valid network {BAD_NETWORK}",
            TIMEOUT,
            lambda: f"the reason, not {reason()!r}\n{host.controller.log_tail()}",
        )
        host.serves()
        assert host.controller.topology_ports()[BAD_PORT]["status"] == "DOWN"

        segment = insert("Segment", GRE_7, "segment")
        mended = {"segments": ["set", [["named-uuid", "segment"]]]}
        where = [["id", "==", BAD_NETWORK]]
        host.controller.topology_transact(segment, {"op": "update", "table": "Network", "where": where, "row": mended})
        host.controller.wait_port(BAD_PORT, timeout=TIMEOUT)
        host.controller.wait_in_sync(TIMEOUT)
    finally:
        host.controller.ovs.unplug("tapbad")
        delete_by_hand(host.controller)


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (network(segment={"network_type": "gre", "segmentation_id": 2}), "Segment"),
        (network(segment=GRE_7, id=GOOD_NETWORK), "Network"),
        (port(id=GOOD_PORTS[0]), "Port"),
    ],
    ids=["tunnel id", "network id", "port id"],
)
def test_duplicates_are_refused_by_the_database(host: Host, rows: list[Row], index: str) -> None:
    """A second owner of a tunnel id or of an id never gets in: the transaction is refused, and nothing is noticed."""
    before = len(host.errors())
    *_, result = host.controller.topology_transact(*rows)
    assert result["error"] == "constraint violation"
    assert f"table {index}" in result["details"] or f'"{index}"' in result["details"]
    host.serves()
    assert host.errors()[before:] == host.problems() == []
