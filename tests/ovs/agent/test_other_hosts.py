"""What a host knows of ports on others ends with their binding, outlives silence, and settles where two hosts quarrel
over a port: three real controllers and switches on one topology, of which two follow what concerns them alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.agent.facts.takeovers import FREE, PAUSES
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation

pytestmark = pytest.mark.one_hub

HOSTS = ("h1", "h2", "h3")
_NUMBERS = count(1)


@dataclass(frozen=True)
class Place:
    """A port, with the address 10.0.0.<number>, and what it is plugged in as."""

    number: int

    @property
    def id(self) -> str:
        return f"99f91280-a060-442e-90b0-{self.number:012}"

    @property
    def mac(self) -> str:
        return f"fa:16:3e:00:00:{self.number:02x}"

    @property
    def ip_address(self) -> str:
        return f"10.0.0.{self.number}"

    @property
    def device(self) -> Device:
        return Device(f"tap{self.number}", self.id, self.mac)


@dataclass(frozen=True)
class Fabric:
    """Three hosts; each test has a network of its own."""

    server: OvsdbServer
    switches: dict[str, OvsHost]
    controllers: dict[str, Tunbridge]

    def ports(self, *hosts: str | None) -> list[Place]:
        """Ports of a new network, each with its device plugged into a host, and up; None: not plugged."""
        number = next(_NUMBERS)
        network, subnet = (f"{kind}8b48b-6ff7-43b6-a203-{number:012}" for kind in ("c4d", "5e7"))
        places = [Place(10 * number + host) for host in range(len(hosts))]
        self.server.write(
            *network_operations(network, number=number, subnet_id=subnet),
            *(operation for place in places for operation in self._insert(place)),
        )
        for place, host in zip(places, hosts, strict=True):
            if host is not None:
                self.plug(place, host)
        for place, host in zip(places, hosts, strict=True):
            if host is not None:
                self.controllers[host].wait_device(place.device.name, status="ACTIVE")
        return places

    def _insert(self, place: Place) -> list[dict[str, Any]]:
        address = f"ip{place.number}"
        row = {"subnet": ["named-uuid", "subnet"], "ip_address": place.ip_address}
        insert = {"op": "insert", "table": "IpAllocation", "uuid-name": address, "row": row}
        port = port_operation(place.id, ["named-uuid", "network"], place.mac, fixed_ips=["named-uuid", address])
        return [insert, port]

    def plug(self, place: Place, host: str) -> None:
        self.switches[host].plug_many([place.device])

    def update(self, place: Place, **columns: object) -> None:
        """Change the row of a port."""
        self.server.write({"op": "update", "table": "Port", "where": [["id", "==", place.id]], "row": columns})

    def row(self, place: Place) -> dict[str, Any]:
        """The row of a port: its host and status."""
        where = [["id", "==", place.id]]
        (result,) = self.server.write(
            {"op": "select", "table": "Port", "where": where, "columns": ["host", "status", "requested_host"]}
        )
        found: dict[str, Any] = result["rows"][0]
        return found

    def flows(self, host: str, place: Place) -> list[str]:
        """Flows of br-tun that name a port on another host: to it, or an answer in its name."""
        lines = self.switches[host].dump("br-tun")
        return [line for line in lines if f"dl_dst={place.mac} " in line or place.mac in line.partition("actions")[2]]

    def flood(self, host: str, of: Place) -> str:
        """What a host does with what is for all in the network of a port that is there; empty: as the base has it."""
        vlan = self.controllers[host].device(of.device.name)["vlan"]
        flows = self.switches[host].dump("br-tun")
        return next((flow for flow in flows if flow.startswith(f"priority=5,in_port=1,dl_vlan={vlan},")), "")

    def wait_known(self, place: Place, *hosts: str) -> None:
        for host in hosts:
            wait_until(lambda: self.flows(host, place), 20, f"{host} knows {place}")  # noqa: B023

    def wait_unknown(self, place: Place, *hosts: str) -> None:
        for host in hosts:
            wait_until(lambda: not self.flows(host, place), 20, lambda: f"{self.flows(host, place)} on {host}")  # noqa: B023


@pytest.fixture(scope="module")
def running(hub: str) -> Iterator[Fabric]:
    with ExitStack() as stack:
        server = stack.enter_context(OvsdbServer()).start()
        switches = {name: stack.enter_context(OvsHost()) for name in HOSTS}
        controllers = {
            name: Tunbridge(
                switches[name],
                hub=hub,
                options={
                    "DEFAULT": {"host": name},
                    "ovs": {"local_ip": f"192.0.2.{number}"},
                    "agent": {"report_interval": 0.5, "agent_down_time": 1},
                    "topology": {"connection": server.connection, "follow": "all" if name == "h1" else "host"},
                },
                ready=False,
            )
            for number, name in enumerate(HOSTS, 1)
        }
        for controller in controllers.values():
            stack.enter_context(controller)  # they start at the same time
        for controller in controllers.values():
            controller.wait_in_sync(60)
        yield Fabric(server, switches, controllers)


@pytest.fixture
def fabric(running: Fabric, report_logs: list[Path]) -> Fabric:
    report_logs += [controller.log for controller in running.controllers.values()]
    return running


def unplugged(fabric: Fabric, place: Place) -> None:
    fabric.switches["h3"].unplug(place.device.name)


def switched_off(fabric: Fabric, place: Place) -> None:
    fabric.update(place, admin_state_up=False)


def deleted(fabric: Fabric, place: Place) -> None:
    fabric.server.write({"op": "delete", "table": "Port", "where": [["id", "==", place.id]]})


@pytest.mark.parametrize("end", [unplugged, switched_off, deleted])
def test_what_is_known_of_a_port_ends_with_its_binding(fabric: Fabric, end: Callable[[Fabric, Place], None]) -> None:
    """On all hosts of its network; what is for all goes there no more when it was the last one there."""
    here, other, there = fabric.ports("h1", "h2", "h3")
    fabric.wait_known(there, "h1", "h2")
    wait_until(lambda: fabric.flood("h1", here).count("output:") == 2, 20, "h1 floods to both")
    end(fabric, there)
    fabric.wait_unknown(there, "h1", "h2")
    wait_until(lambda: fabric.flood("h1", here).count("output:") == 1, 20, "h1 floods to h2 alone")
    assert fabric.flows("h1", other)
    fabric.switches["h3"].vsctl("--if-exists", "del-port", "br-int", there.device.name)


def test_a_silent_host_keeps_what_it_has_and_a_deleted_one_has_nothing(fabric: Fabric) -> None:
    """Its controller is killed: nobody knows whether its data plane lives. What is plugged elsewhere meanwhile is
    there, also when the controller is back."""
    here, _, there, moved = fabric.ports("h1", "h2", "h3", "h3")
    for place in (there, moved):
        fabric.wait_known(place, "h1", "h2")
    others = [fabric.controllers[name] for name in ("h1", "h2")]
    for controller in others:
        controller.wait_in_sync()
    before = {name: fabric.switches[name].dump("br-tun") for name in ("h1", "h2")}
    counters = [controller.quick_status()["counters"] for controller in others]
    fabric.controllers["h3"].kill9()

    def alive() -> dict[str, bool]:
        listed = json.loads(others[0].command("host", "list", "--json"))["hosts"]
        return {host["name"]: host["alive"] for host in listed}

    wait_until(lambda: alive() == {"h1": True, "h2": True, "h3": False}, 20, lambda: f"h3 is silent, not {alive()}")
    time.sleep(0.5)  # nothing happens for it, so there is nothing to wait for
    assert {name: fabric.switches[name].dump("br-tun") for name in ("h1", "h2")} == before
    assert [controller.quick_status()["counters"] for controller in others] == counters
    assert fabric.flood("h1", here).count("output:") == 2

    fabric.plug(moved, "h2")
    fabric.controllers["h2"].wait_device(moved.device.name, status="ACTIVE")
    way = f"output:{fabric.switches['h1'].ofport('gre-c0000202')}"
    wait_until(lambda: way in str(fabric.flows("h1", moved)), 20, lambda: f"{way}, not {fabric.flows('h1', moved)}")

    others[1].command("host", "delete", "h3")
    fabric.wait_unknown(there, "h1", "h2")
    wait_until(lambda: fabric.flood("h1", here).count("output:") == 1, 20, "h1 floods to h2 alone")
    for controller in others:
        controller.wait_in_sync()
        assert [tunnel["host"] for tunnel in controller.quick_status()["tunnels"] if tunnel["host"] == "h3"] == []

    fabric.controllers["h3"].start()
    fabric.controllers["h3"].wait_in_sync(60)
    fabric.wait_known(there, "h1", "h2")
    fabric.controllers["h3"].wait_device(moved.device.name, status="DOWN", reason="host h2 has bound it")
    assert way in str(fabric.flows("h1", moved))


def test_a_port_that_two_hosts_plug_again_and_again(fabric: Fabric) -> None:
    """A few times whoever plugs last has it; then it is rewritten less and less often, each host says so once, and in
    the end whoever plugged last has it."""
    (place,) = fabric.ports("h1")
    history: list[str] = []

    def plug_anew(host: str) -> None:
        command = place.device.plug_command("br-int", "")
        fabric.switches[host].vsctl("--", "--if-exists", "del-port", "br-int", place.device.name, *command)

    started = time.monotonic()
    for number in range(14):
        host = HOSTS[(number + 1) % 2]
        plug_anew(host)
        deadline = time.monotonic() + 0.15
        while time.monotonic() < deadline:
            claimed = str(fabric.row(place)["host"])
            if not history or history[-1] != claimed:
                history.append(claimed)
    seconds = time.monotonic() - started
    moves = len(history) - 1
    assert moves >= 2, "whoever plugs last has it"
    assert moves <= FREE + 2 + seconds, f"{moves} moves in {seconds:.1f} s: {history}"
    for name in HOSTS[:2]:
        controller = fabric.controllers[name]
        (line,) = [problem for problem in controller.quick_status()["problems"] if place.id in problem]
        assert line.startswith(f"port {place.id} goes back and forth between hosts h1 and h2")
        assert controller.log_text().count(line) == 1
    assert not any(place.id in problem for problem in fabric.controllers["h3"].quick_status()["problems"])
    longest = PAUSES.pause(100)  # as it is where each plug was a move, on a slow machine
    wait_until(lambda: fabric.row(place)["host"] == host, 4 * longest, lambda: f"{host} has it: {fabric.row(place)}")
    fabric.controllers[host].wait_device(place.device.name, status="ACTIVE")
    for name in HOSTS[:2]:
        fabric.switches[name].unplug(place.device.name)


def profile(**values: object) -> list[object]:
    """The column ``attributes`` of a port with this binding:profile."""
    return ["map", [["binding:profile", json.dumps(values)]]]


def test_a_guest_that_migrates_is_on_two_hosts(fabric: Fabric) -> None:
    """Where it goes wires it too and claims nothing, and others send to both; until the migration is over, or given up.
    A profile that says nothing of use changes nothing."""
    place, _ = fabric.ports("h1", "h3")
    fabric.update(place, requested_host="h1")
    fabric.plug(place, "h2")
    name, there = place.device.name, fabric.controllers["h2"]
    there.wait_device(name, status="DOWN", reason="binding:host_id is h1")

    def wait_sent_to(*hosts: str) -> None:
        outputs = {f"output:{fabric.switches['h3'].ofport(f'gre-c000020{host[1]}')}" for host in hosts}

        def sent() -> set[str]:
            flows = [flow for flow in fabric.flows("h3", place) if flow.startswith("priority=6,")]
            return {action for flow in flows for action in flow.split(",") if action.startswith("output:")}

        wait_until(lambda: sent() == outputs, 20, lambda: f"h3 sends to {hosts}, {outputs}, not {sent()}")

    wait_sent_to("h1")
    for values in ({"migrating_to": "h1"}, {"migrating_to": ["h2"]}, {"migrating_to": ""}, {"migrating": "h2"}):
        fabric.update(place, attributes=profile(**values))
        for controller in fabric.controllers.values():
            controller.wait_in_sync()
        there.wait_device(name, status="DOWN", reason="binding:host_id is h1")
        wait_sent_to("h1")
    for _ in range(2):
        fabric.update(place, attributes=profile(migrating_to="h2"))
        there.wait_device(name, status="ACTIVE")
        wait_sent_to("h1", "h2")
        fabric.controllers["h1"].wait_device(name, status="ACTIVE")
        assert fabric.row(place) == {"host": "h1", "status": "ACTIVE", "requested_host": "h1"}
        fabric.update(place, attributes=["map", []])
        there.wait_device(name, status="DOWN", reason="binding:host_id is h1")
        wait_sent_to("h1")
    fabric.update(place, attributes=profile(migrating_to="h2"))
    there.wait_device(name, status="ACTIVE")
    fabric.update(place, requested_host="h2")  # the profile follows, or does not
    wait_sent_to("h2")
    moved = {"host": "h2", "status": "ACTIVE", "requested_host": "h2"}
    wait_until(lambda: fabric.row(place) == moved, 20, lambda: f"{moved}, not {fabric.row(place)}")
    fabric.controllers["h1"].wait_device(name, status="DOWN", reason="binding:host_id is h2")
    for host in ("h1", "h2"):
        fabric.switches[host].unplug(name)


def test_a_host_that_gets_a_controller_is_still_sent_what_is_for_all(fabric: Fabric) -> None:
    """In the place of another agent: nobody has told yet what it has."""
    here, _ = fabric.ports("h1", "h2")
    fabric.server.write(
        {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "ip", "row": {"ip_address": "192.0.2.9"}},
        {
            "op": "insert",
            "table": "Host",
            "row": {"name": "old", "tunnel_types": "gre", "tunnel_endpoints": ["named-uuid", "ip"]},
        },
    )
    where = [["name", "==", "old"]]
    try:
        wait_until(lambda: fabric.flood("h1", here).count("output:") == 2, 20, lambda: fabric.flood("h1", here))
        instance = "00000001-0000-4000-8000-000000000009"
        fabric.server.write({"op": "update", "table": "Host", "where": where, "row": {"instance": instance}})
        fabric.ports("h1", "h2")  # which h1 knows later than that
        assert fabric.flood("h1", here).count("output:") == 2
    finally:
        fabric.server.write({"op": "delete", "table": "Host", "where": where})
    wait_until(lambda: fabric.flood("h1", here).count("output:") == 1, 20, lambda: fabric.flood("h1", here))
