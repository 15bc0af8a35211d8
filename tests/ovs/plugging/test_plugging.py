"""``tunbridge plug`` on an Open vSwitch that makes ports and no network devices: rows, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from controller.config.config import Config, load
from controller.plugging import links
from controller.plugging.device_plan import DevicePlan, plan_device
from controller.plugging.device_rows import DeviceRows, device_rows
from controller.plugging.plug import plug, unplug
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.reference import DHCP, GATEWAY, VM
from tests.topology.ovsdb import OvsdbServer
from topology.database.port_lookup import port_lookup
from topology.documents.apply import apply_document
from topology.documents.reader import load_document
from topology.errors import DeviceError, TopologyError, TunbridgeError, VSwitchError
from topology.ovsdb.one_shot import opened

PORT_ID, OTHER_ID, ELSEWHERE_ID = str(VM.port_id), str(DHCP.port_id), str(GATEWAY.port_id)
NAME = "tap99f91280-a0"
DOCUMENT = {
    "networks": [
        {
            "name": "demo",
            "provider:network_type": "gre",
            "subnets": [{"cidr": "10.1.1.0/24", "gateway_ip": "10.1.1.1"}],
            "ports": [
                {"id": PORT_ID, "mac_address": VM.mac, "fixed_ips": [{"ip_address": "10.1.1.13"}]},
                {"id": OTHER_ID, "mac_address": DHCP.mac, "device_id": "dhcp", "admin_state_up": False},
                {"id": ELSEWHERE_ID, "mac_address": GATEWAY.mac, "binding:host_id": "host2"},
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A topology database with three ports."""
    file = tmp_path_factory.mktemp("plugging") / "demo.yaml"
    file.write_text(yaml.safe_dump(DOCUMENT))
    with OvsdbServer() as server:
        server.start()
        apply_document(
            server.connection, load_document(str(file)), load([]).allocation_policy(), prune=False, dry_run=False
        )
        yield server.connection


@pytest.fixture
def config(ovs: OvsHost, topology: str, tmp_path: Path) -> Config:
    """That of host1."""
    file = tmp_path / "tunbridge.conf"
    run_path = f"run_path = {tmp_path}\nstate_path = {tmp_path}\n"
    file.write_text(f"[DEFAULT]\nhost = host1\n{run_path}[ovs]\novsdb_connection = {ovs.db}\n")
    return load([str(file)], topology)


@pytest.fixture
def rows(ovs: OvsHost) -> Iterator[DeviceRows]:
    """The rows of an Open vSwitch that has br-int."""
    ovs.vsctl("add-br", "br-int")
    with device_rows(ovs.db, "br-int") as made:
        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that does not come is not waited for that long."""
    monkeypatch.setattr(links, "_TIMEOUT", 0.2)


def plan(topology: str, port_id: str = PORT_ID) -> DevicePlan:
    with opened(port_lookup(topology, port_id), 10) as found:
        assert found.port is not None
        return plan_device(found.port, with_routes=True)


def test_the_rows_are_those_of_a_hypervisor(ovs: OvsHost, rows: DeviceRows, topology: str) -> None:
    """And the port is no trunk: it has the dead VLAN until the controller gives it another."""
    assert rows.plug(plan(topology, OTHER_ID), None, makes_netns=False)
    rows.wait_made("tap3f1f785c-70")
    interface, port = ovs.row("Interface", "tap3f1f785c-70"), ovs.row("Port", "tap3f1f785c-70")
    assert (interface["type"], interface["mtu_request"], port["tag"]) == ("internal", 1454, 4095)
    assert interface["external_ids"] == {
        "iface-id": OTHER_ID,
        "attached-mac": DHCP.mac,
        "iface-status": "active",
        "vm-uuid": "dhcp",
    }


def test_plugged_twice_nothing_is_written(ovs: OvsHost, rows: DeviceRows, topology: str) -> None:
    """A tag that the controller has given stays; what somebody has taken out is put back."""
    assert rows.plug(plan(topology), "blue", makes_netns=False)
    ovs.vsctl("set", "Port", NAME, "tag=7")
    before = ovs.port_versions()
    assert not rows.plug(plan(topology), "blue", makes_netns=False)
    ovs.vsctl("remove", "Interface", NAME, "external_ids", "attached-mac")
    assert rows.plug(plan(topology), "blue", makes_netns=False)
    ids = ovs.row("Interface", NAME)["external_ids"]
    assert isinstance(ids, dict) and (ids["attached-mac"], ids["tunbridge-netns"]) == (VM.mac, "blue")
    assert ovs.port_versions() == before
    with pytest.raises(VSwitchError, match=f"{NAME} is plugged into namespace blue: unplug it first"):
        rows.plug(plan(topology), "red", makes_netns=False)


def test_the_last_device_in_a_namespace_is_to_remove_it(rows: DeviceRows, topology: str) -> None:
    """Whichever of them made it."""
    first, second = plan(topology), plan(topology, OTHER_ID)
    rows.plug(first, "blue", makes_netns=True)
    rows.plug(second, "blue", makes_netns=False)
    assert rows.sharing("blue", first.name) == [second.name]
    rows.unplug(first.name, PORT_ID)
    device = rows.find(second.name, OTHER_ID)
    assert device is not None and device.netns_made
    assert rows.sharing("blue", second.name) == []


def test_the_controller_puts_it_on_its_network(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """The dead VLAN that it is plugged with does not keep it from being bound."""
    controller = tunbridge()
    controller.wait_in_sync()
    controller.apply(DOCUMENT)
    with device_rows(ovs.db, "br-int") as rows:
        rows.plug(plan(controller.topology), None, makes_netns=False)
        assert rows.wait_wired(NAME, 20)
    assert ovs.tag(NAME) == 1
    assert controller.wait_port(PORT_ID)["host"] == "host1"


def test_a_device_that_does_not_come_is_taken_away_again(ovs: OvsHost, config: Config, quick: None) -> None:
    """This switch makes no devices: what was written is removed, and the error says what is missing."""
    ovs.vsctl("add-br", "br-int")
    with pytest.raises(DeviceError, match=f"has made {NAME}, but there is no such network device here"):
        plug(config, PORT_ID, None, None)
    assert ovs.vsctl("list-ports", "br-int") == ""
    assert unplug(config, PORT_ID) == f"port {PORT_ID} is not plugged in here: nothing to do"


REFUSED: list[tuple[str, str, list[str], type[TunbridgeError], str]] = [
    ("no port", PORT_ID.replace("9", "8"), [], TopologyError, "there is no port 88f81280-"),
    ("other host", ELSEWHERE_ID, [], TopologyError, r"is for host host2 \(binding:host_id\), and this is host1"),
    ("no bridge", PORT_ID, ["del-br", "br-int"], VSwitchError, "has no bridge br-int: the controller makes it"),
    ("name taken", PORT_ID, ["add-port", "br-int", NAME], VSwitchError, f"the name {NAME} is taken by another port"),
    (
        "port taken",
        PORT_ID,
        ["add-port", "br-int", "qvo1", "--", "set", "Interface", "qvo1", f"external_ids:iface-id={PORT_ID}"],
        VSwitchError,
        f"port {PORT_ID} is plugged already, by somebody else, as qvo1",
    ),
    (
        "a hypervisor's",
        PORT_ID,
        ["add-port", "br-int", NAME, "--", "set", "Interface", NAME, f"external_ids:iface-id={PORT_ID}"],
        VSwitchError,
        f"{NAME} is a device that somebody else has plugged",
    ),
]


@pytest.mark.parametrize(
    ("port_id", "vsctl", "error", "text"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_is_refused_changes_nothing(
    ovs: OvsHost, config: Config, port_id: str, vsctl: list[str], error: type[TunbridgeError], text: str
) -> None:
    """With one message that says why."""
    ovs.vsctl("add-br", "br-int", *(["--", *vsctl] if vsctl else []))
    before = ovs.vsctl("--format=json", "--columns=name,type,external_ids", "list", "Interface")
    with pytest.raises(error, match=text):
        plug(config, port_id, None, None)
    assert json.loads(
        ovs.vsctl("--format=json", "--columns=name,type,external_ids", "list", "Interface")
    ) == json.loads(before)


def test_what_is_somebody_elses_is_not_unplugged(ovs: OvsHost, config: Config) -> None:
    ids = f"external_ids:iface-id={PORT_ID}"
    ovs.vsctl("add-br", "br-int", "--", "add-port", "br-int", NAME, "--", "set", "Interface", NAME, ids)
    with pytest.raises(VSwitchError, match="somebody else has plugged"):
        unplug(config, PORT_ID)
    assert ovs.vsctl("list-ports", "br-int").split() == [NAME]


def test_a_switch_without_its_daemon_is_named(ovs: OvsHost, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left for it to find when it is back."""
    monkeypatch.setattr("controller.plugging.device_rows._TIMEOUT", 0.5)
    ovs.vsctl("add-br", "br-int")
    ovs.stop_vswitchd()
    with pytest.raises(VSwitchError, match=f"ovs-vswitchd has not made {NAME} within 0.5 s: does it run"):
        plug(config, PORT_ID, None, None)
    assert ovs.vsctl("--no-wait", "list-ports", "br-int") == ""
    ovs.stop_ovsdb_server()
    with pytest.raises(VSwitchError, match=r"Open vSwitch's database at .* does not answer within 0.5 s"):
        unplug(config, PORT_ID)
