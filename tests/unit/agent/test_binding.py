"""Each case in which a device is, or is not, bound to its port, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from apps.framework.local_vlans import DEAD_VLAN
from controller.agent.binding import Bindings, PortBinding, uncarried
from controller.agent.facts.port_facts import PortFacts, port_id_of
from controller.vswitch.device import Device
from topology.model import Network, NetworkType, Port

HOST = "host1"
NET = "00000000-0000-4000-8000-000000000001"
PORT = "10000000-0000-4000-8000-000000000001"
OTHER_PORT = "10000000-0000-4000-8000-000000000002"
MAC = "fa:16:3e:00:00:01"


def device(name: str = "tap1", iface_id: str | None = PORT, **more: Any) -> Device:
    return Device(name, name, iface_id, **more)


def port(**more: Any) -> Port:
    return Port(**{"id": PORT, "network_id": NET, "mac_address": MAC, **more})


class Table(PortFacts):
    """Facts, and the bindings that follow from them."""

    def __init__(self) -> None:
        super().__init__(HOST)
        self.bindings = Bindings(self, uncarried)

    def decide(self) -> set[str]:
        return self.bindings.update(self.collect().ports)

    def bound(self, port_id: str) -> PortBinding | None:
        return self.bindings.bound(port_id)


def table(*, fresh: bool = False, **more: Any) -> Table:
    """A table in which ``tap1`` carries the port, but for what ``more`` says of the port."""
    made = Table()
    made.set_network(NET, Network(NET, NetworkType.GRE, 2))
    made.set_port(PORT, port(**more))
    made.set_device("tap1", device(), fresh=fresh)
    made.set_ofport("tap1", 5)
    made.decide()
    return made


def reasons(made: Table, port_id: str = PORT) -> dict[str, str | None]:
    """Device → why it is not bound; None: it is."""
    made.decide()
    return {binding.device.name: binding.reason for binding in made.bindings.of(port_id)}


def bound(made: Table, port_id: str = PORT) -> str | None:
    made.decide()
    binding = made.bound(port_id)
    return binding.device.name if binding is not None else None


def test_bound() -> None:
    """All three sides there: bound, under the number that the switch gave."""
    made = table()
    binding = made.bound(PORT)
    assert binding is not None
    assert (binding.device.name, binding.ofport, binding.reason) == ("tap1", 5, None)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"admin_state_up": False}, "admin_state_up of the port is false"),
        ({"requested_host": "host2"}, "binding:host_id is host2"),
        ({"host": "host2"}, "host host2 has bound it"),
        ({"host": "host2", "requested_host": "host2"}, "binding:host_id is host2"),
        ({"host": "host2", "requested_host": HOST}, None),
        ({"host": HOST}, None),
    ],
)
def test_what_the_port_allows(attributes: dict[str, Any], reason: str | None) -> None:
    """The port's own attributes decide, and each refusal is named."""
    assert reasons(table(**attributes)) == {"tap1": reason}


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (None, f"the topology has no valid network {NET}"),
        (Network(NET, NetworkType.GRE, 2, admin_state_up=False), f"admin_state_up of network {NET} is false"),
        (
            Network(NET, NetworkType.VLAN, 2, physical_network="physnet1"),
            "physical network physnet1 is not in [ovs] bridge_mappings of this host",
        ),
        (Network(NET, NetworkType.LOCAL), None),
    ],
)
def test_what_the_network_allows(network: Network | None, reason: str | None) -> None:
    """A network that goes, is switched off or cannot be carried takes its ports with it; back again, so are they."""
    made = table()
    made.set_network(NET, network)
    assert reasons(made) == {"tap1": reason}
    made.set_network(NET, Network(NET, NetworkType.GRE, 3))
    assert reasons(made) == {"tap1": None}


def test_no_such_port() -> None:
    """An iface-id that the topology does not know, and one that is no id at all, are told apart."""
    made = table()
    made.set_port(PORT, None)
    assert reasons(made) == {"tap1": "the topology has no such port"}
    made.set_device("tap1", device(iface_id="eth0"), fresh=True)
    assert reasons(made, "eth0") == {"tap1": "iface-id 'eth0' is not a UUID"}
    assert reasons(made) == {}


def test_huge_iface_id() -> None:
    """A megabyte in external_ids costs the log 64 characters."""
    assert port_id_of("x" * 1_000_000) == ("x" * 64, False)


@pytest.mark.parametrize("written", [PORT.upper(), PORT.replace("-", ""), "{" + PORT + "}"])
def test_spellings_of_a_uuid(written: str) -> None:
    """Whatever way the iface-id is written, it is the same port."""
    made = table()
    made.set_device("tap1", device(iface_id=written), fresh=False)
    assert bound(made) == "tap1"


def test_no_iface_id_is_left_alone() -> None:
    """A device without iface-id has no binding; once it gets one it is bound."""
    made = table()
    made.set_device("tap1", device(iface_id=None), fresh=False)
    made.decide()
    assert not list(made.bindings)
    made.set_device("tap1", device(), fresh=False)
    assert bound(made) == "tap1"


def test_without_an_ofport() -> None:
    """Until the switch has told the number, and when it cannot make the device, the reason says which."""
    made = table()
    made.set_ofport("tap1", None)
    assert reasons(made) == {"tap1": "Open vSwitch has not given the device an OpenFlow port"}
    made.set_device("tap1", device(ofport=-1, error="could not open network device tap1"), fresh=False)
    expected = "Open vSwitch could not make the device: could not open network device tap1"
    assert reasons(made) == {"tap1": expected}
    made.set_device("tap1", device(ofport=-1), fresh=False)
    assert reasons(made) == {"tap1": "Open vSwitch could not make the device: ofport is -1"}


def test_names_that_openflow_cuts_off() -> None:
    """A device with a name of more than 15 characters is bound by the number in its Interface row."""
    made = table()
    name = "tap-with-a-long-name"
    made.set_device("tap1", None, fresh=False)
    made.set_device(name, device(name, ofport=9), fresh=False)
    made.decide()
    binding = made.bound(PORT)
    assert binding is not None
    assert binding.ofport == 9
    made.set_device(name, device(name, ofport=-1), fresh=False)
    assert bound(made) is None


def test_second_device_waits() -> None:
    """Of two devices for one port the bound one stays; the other is named, and takes over when the first goes."""
    made = table()
    made.set_device("tap0", device("tap0"), fresh=True)
    made.set_ofport("tap0", 1)
    assert reasons(made) == {"tap0": "device tap1 has the same iface-id and is bound already", "tap1": None}
    made.set_ofport("tap1", None)
    assert bound(made) == "tap0"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, "tap9"),  # the lowest ofport
        ({"tag": 3, "other_config": {"net_uuid": NET}}, {}, "tap1"),
        ({"tag": DEAD_VLAN, "other_config": {"net_uuid": NET}}, {}, "tap9"),
        ({"tag": 3}, {}, "tap9"),  # somebody's tag, but not that of an agent
    ],
)
def test_which_of_two_after_a_restart(first: dict[str, Any], second: dict[str, Any], expected: str) -> None:
    """At start the device that was wired before is preferred, else the one with the lowest ofport."""
    made = Table()
    made.set_network(NET, Network(NET, NetworkType.GRE, 2))
    made.set_port(PORT, port())
    for name, ofport, more in (("tap1", 7, first), ("tap9", 3, second)):
        made.set_device(name, device(name, **more), fresh=False)
        made.set_ofport(name, ofport)
    assert bound(made) == expected


def test_a_fresh_device_takes_a_port_over() -> None:
    """A device that was plugged under our eyes takes its port from another host, one found at start does not."""
    assert bound(table(fresh=True, host="host2")) == "tap1"
    assert bound(table(fresh=False, host="host2")) is None


def test_a_port_taken_over_is_not_taken_back() -> None:
    """Once another host has taken our claim, our device waits until it is plugged again: no tug of war."""
    made = table(fresh=True, host=HOST)
    assert bound(made) == "tap1"
    made.set_port(PORT, port(host="host2"))
    assert reasons(made) == {"tap1": "host host2 has bound it"}
    made.set_device("tap1", device(tag=DEAD_VLAN), fresh=True)  # the same plug, only its tag has changed
    assert bound(made) is None
    made.set_device("tap1", None, fresh=False)
    made.set_device("tap1", device(), fresh=True)
    assert bound(made) == "tap1"


def test_only_what_changed_is_told() -> None:
    """``decide`` names the ports whose bindings changed, once; an event about another port touches nothing."""
    made = table()
    assert made.decide() == set()
    made.set_ofport("tap1", 5)
    made.set_ofport("eth0", 8)
    assert made.decide() == set()
    made.set_ofport("tap1", 6)
    assert made.decide() == {PORT}
    made.set_device("tap1", device(iface_id=OTHER_PORT), fresh=True)
    assert made.decide() == {PORT, OTHER_PORT}
    made.set_device("tap1", None, fresh=False)
    assert made.decide() == {OTHER_PORT}
    assert not list(made.bindings)
