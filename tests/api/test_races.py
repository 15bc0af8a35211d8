"""Several API processes and documents on one database: nothing is given out twice, nothing is lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.http.api_process import ApiProcess, Client
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.documents.apply import apply_document
from topology.documents.reader import parse_document
from topology.model import NetworkType
from topology.rules.allocation.segment_allocation import AllocationPolicy

CLIENTS, STEPS = 8, 30


class Worker(threading.Thread):
    """Runs something and keeps what it raises."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error


def together(*works: Callable[[], None]) -> None:
    workers = [Worker(work) for work in works]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    errors = [worker.error for worker in workers if worker.error]
    assert not errors, errors


class Actor:
    """A client that creates and deletes at random, and knows what is its own."""

    def __init__(self, api: Client, network: str, number: int, steps: int) -> None:
        self.api, self.network, self.steps = api, network, steps
        self.random = random.Random(number)
        self.ports: dict[str, Any] = {}
        self.networks: dict[str, Any] = {}

    def run(self) -> None:
        for _ in range(self.steps):
            self.random.choice([self._create_port, self._create_port, self._create_network, self._delete])()

    def _create_port(self) -> None:
        port = self.api.create("port", network_id=self.network)
        self.ports[port["id"]] = port

    def _create_network(self) -> None:
        network = self.api.create("network")
        self.networks[network["id"]] = network

    def _delete(self) -> None:
        kind, mine = self.random.choice([("port", self.ports), ("network", self.networks)])
        if mine:
            object_id = self.random.choice(sorted(mine))
            self.api.delete(kind, object_id)
            del mine[object_id]


def _race(database: OvsdbServer, clients: int, steps: int) -> None:
    with ApiProcess(database.connection) as one, ApiProcess(database.connection) as other:
        network = one.create("network")["id"]
        subnet = one.create("subnet", network_id=network, cidr="10.0.0.0/16", ip_version=4)["id"]
        wait_until(lambda: other.request("GET", f"/v2.0/subnets/{subnet}").status == 200, 10, "both have the subnet")
        actors = [Actor((one, other)[number % 2], network, number, steps) for number in range(clients)]
        together(*(actor.run for actor in actors))
        ports = {id_: port for actor in actors for id_, port in actor.ports.items()}
        networks = {network} | {id_ for actor in actors for id_ in actor.networks}
        rows = database.rows("Port", "id", "mac_address")
        assert {row["id"] for row in rows} == set(ports)
        assert {row["id"] for row in database.rows("Network", "id")} == networks
        assert {row["mac_address"] for row in rows} == {port["mac_address"] for port in ports.values()}
        addresses = [row["ip_address"] for row in database.rows("IpAllocation", "ip_address")]
        assert sorted(addresses) == sorted(port["fixed_ips"][0]["ip_address"] for port in ports.values())
        assert len(database.rows("Segment", "segmentation_id")) == len(networks)
        for api in (one, other):
            wait_until(lambda api=api: len(api.get("/ports")["ports"]) == len(ports), 10, "both see all")  # type: ignore[misc]


def test_two_processes_give_nothing_out_twice(stopped_database: OvsdbServer) -> None:
    """Clients of both create and delete at once: each has exactly what it was told, and there is nothing else."""
    _race(stopped_database.start(), CLIENTS, STEPS)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_processes_give_nothing_out_twice_for_long(stopped_database: OvsdbServer) -> None:
    """The same, for about a minute."""
    _race(stopped_database.start(), CLIENTS, 130 * STEPS)


def test_the_last_address_has_one_owner(stopped_database: OvsdbServer) -> None:
    """Of many that want the last ones, as many get one as there are; the others are told that none is left."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as one, ApiProcess(database.connection) as other:
        network = one.create("network")["id"]
        subnet = one.create("subnet", network_id=network, cidr="10.0.0.0/28", ip_version=4)["id"]
        wait_until(lambda: other.request("GET", f"/v2.0/subnets/{subnet}").status == 200, 10, "both have the subnet")
        statuses: list[int] = []

        def create(api: Client) -> None:
            for _ in range(3):
                statuses.append(api.request("POST", "/v2.0/ports", {"port": {"network_id": network}}).status)

        together(*(lambda api=api: create(api) for api in (one, other) * 4))  # type: ignore[misc]
    assert Counter(statuses) == {201: 13, 409: 11}
    assert len(database.rows("IpAllocation", "ip_address")) == len(database.rows("Port", "id")) == 13


def test_changes_of_one_object_are_all_made(stopped_database: OvsdbServer) -> None:
    """Two that change different attributes of one network at once do not undo each other; each counts."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as one, ApiProcess(database.connection) as other:
        network = one.create("network")["id"]
        wait_until(lambda: other.request("GET", f"/v2.0/networks/{network}").status == 200, 10, "both have it")

        def change(api: Client, attribute: str) -> None:
            for number in range(20):
                api.update("network", network, **{attribute: f"{number}"})

        together(lambda: change(one, "name"), lambda: change(other, "description"))

        def as_expected(api: Client) -> bool:
            shown = api.get(f"/networks/{network}")["network"]
            return [shown[name] for name in ("name", "description", "revision_number")] == ["19", "19", 41]

        for api in (one, other):
            wait_until(lambda api=api: as_expected(api), 10, "all changes are there")  # type: ignore[misc]


def test_a_subnet_and_a_port_of_it(stopped_database: OvsdbServer) -> None:
    """A subnet is deleted by one process while another gives out its addresses: one of them is refused, always."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as one, ApiProcess(database.connection) as other:
        for _ in range(20):
            network = one.create("network")["id"]
            subnet = one.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"]
            path = f"/v2.0/subnets/{subnet}"
            wait_until(lambda path=path: other.request("GET", path).status == 200, 10, "both have it")  # type: ignore[misc]
            done: dict[str, Any] = {}

            def remove(path: str = path, done: dict[str, Any] = done) -> None:
                done["deleted"] = one.request("DELETE", path).status

            def create(network: str = network, subnet: str = subnet, done: dict[str, Any] = done) -> None:
                port = {"network_id": network, "fixed_ips": [{"subnet_id": subnet}]}
                done["created"] = other.request("POST", "/v2.0/ports", {"port": port}).status

            together(remove, create)
            assert done in ({"deleted": 204, "created": 400}, {"deleted": 409, "created": 201})
            assert len(database.rows("Subnet", "id")) == len(database.rows("IpAllocation", "ip_address", "subnet"))


def test_documents_and_requests_see_each_other(stopped_database: OvsdbServer) -> None:
    """What a document makes is shown at once, keeps what the API has added, and takes no id from it."""
    database = stopped_database.start()
    policy = AllocationPolicy(NetworkType.GRE, ((1, 100),))
    with ApiProcess(database.connection) as api:
        made = api.create("network", name="mine", description="kept")

        def apply(name: str) -> None:
            document = parse_document({"networks": [{"name": name, "admin_state_up": False}]})
            apply_document(database.connection, document, policy, prune=False, dry_run=False)

        [before] = database.rows("Topology", "revision")
        api.update("network", made["id"], name="mine")
        assert database.rows("Topology", "revision") == [
            {"revision": before["revision"] + 1}
        ]  # hosts tell backups by it
        apply("theirs")
        [theirs] = wait_until(lambda: api.get("/networks?name=theirs")["networks"], 10, "it is shown")
        assert theirs["provider:segmentation_id"] != made["provider:segmentation_id"]
        assert (theirs["revision_number"], theirs["created_at"], theirs["mtu"]) == (1, theirs["updated_at"], 1454)
        assert api.update("network", theirs["id"], description="x")["revision_number"] == 2
        apply("mine")

        def changed() -> bool:
            shown = api.get(f"/networks/{made['id']}")["network"]
            return (shown["admin_state_up"], shown["description"]) == (False, "kept")

        wait_until(changed, 10, "the document's change is shown")
