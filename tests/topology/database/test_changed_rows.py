"""Objects that follow changes of rows, against objects that are made of the same rows at once; a real ovsdb-server."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.assembler import Assembler
from topology.database.host_scope import HostScope
from topology.database.tables import DATABASE, LATER, SCHEMA, TABLES
from topology.database.topology_database import TopologyDatabase
from topology.model import DESCRIPTIVE, Port
from topology.ovsdb.edit import absent
from topology.ovsdb.following_idl import RowChanges
from topology.ovsdb.schema import without_lengths
from topology.source import TopologyBatch

STEPS = 60
TOO_LONG = "x" * 1025
SEVERAL = ["host", "status", "name", "device_id"]
"""Columns of which each change is one of several, so that these alone change mostly."""
OTHERS = [
    "device_owner", "mac_address", "network", "fixed_ips", "attributes", "requested_host", "port_security_enabled",
    "admin_state_up",
]  # fmt: skip
ATTRIBUTES = [
    ["trace", "00-11111111111111111111111111111111-2222222222222222-01"],
    ["binding:profile", '{"migrating_to": "h2"}'],
    ["allowed_address_pairs", '[{"ip_address": "10.0.0.0/8"}]'],
    ["allowed_address_pairs", "["],
]


def uid(kind: str, number: int) -> str:
    """An id."""
    return f"{number:08x}-0000-4000-8000-0000000000{kind}"


def mac(number: int) -> str:
    """Of a port."""
    return (0xFA163E000000 + number).to_bytes(6, "big").hex(":")


def held(assembler: Assembler) -> tuple[dict[str, Any], list[Any]]:
    """The networks and ports that one has, with what these are not compared by, and the problems."""
    networks, ports = assembler.objects()
    problems = [problem for key in sorted(assembler._problems) for problem in assembler._problems[key]]
    return {one.id: vars(one) for one in (*networks, *ports)}, problems


class Compared(TopologyDatabase):
    """One that follows, and after each delivery is held against the rows that are there."""

    def __init__(self, connection: str, scope: HostScope | None) -> None:
        super().__init__(connection, scope=scope)
        self.wrong: list[object] = []
        self.step = ""
        """The version of the host that is told last."""
        self.renewed = 0
        """Ports of which a host reported something, or that were called otherwise."""
        self._told: dict[str, Port] = {}

    def _deliver(self, changes: RowChanges) -> None:
        batch = self._convert(changes)
        self.renewed += len(changes.reported.get("Port", ()))
        if batch is not None:
            self._take(batch)
        if {port.id: port for port in self._assembler.objects()[1]} != self._told:
            self.wrong.append(("told", self._told))
        assert self._idl is not None
        rows: dict[str, Any] = {table: dict(self._idl.tables[table].rows) for table in TABLES}
        if self.is_partial and any(absent(row, LATER, set()) for row in rows["Port"].values()):
            return  # an object is what it was
        anew, filled = Assembler(is_partial=self.is_partial), Assembler()
        anew(RowChanges(True, rows))
        filled.fill(rows)
        self.wrong += [
            (held(other), held(self._assembler)) for other in (anew, filled) if held(other) != held(self._assembler)
        ]

    def _take(self, batch: TopologyBatch) -> None:
        before = dict(self._told)
        if batch.complete:
            self._told.clear()
        for port_id, port in batch.ports.items():
            self._told.pop(port_id, None)
            if port is not None:
                self._told[port_id] = port
        for port_id in batch.described:
            old, new = (vars(ports[port_id]).items() for ports in (before, self._told))
            if {name for name, _ in old ^ new} - set(DESCRIPTIVE):
                self.wrong.append(("described", before[port_id], self._told[port_id]))
        for host in batch.hosts.values():
            self.step = host.version if host is not None else ""


def columns_of_port(draw: random.Random, port: int, networks: Sequence[Any]) -> dict[str, Any]:
    """Some columns with other values, also such as break a rule."""

    def value(column: str) -> Any:
        match column:
            case "host" | "requested_host":
                return draw.choice([["set", []], "h1", "h2"])
            case "status":
                return draw.choice(["ACTIVE", "DOWN", "BUILD"])
            case "name" | "device_id" | "device_owner":
                return draw.choice(["", "a", "b", TOO_LONG])
            case "mac_address":
                return draw.choice([mac(port), mac(port).upper(), f"none {port}"])
            case "network":
                return draw.choice(networks)
            case "fixed_ips":
                return draw.choice([["set", []], ["named-uuid", "ip"]])
            case "attributes":
                return ["map", [draw.choice(ATTRIBUTES)]]
            case _:
                return draw.random() < 0.5

    known = SEVERAL if draw.random() < 0.6 else [*SEVERAL, *OTHERS]
    return {column: value(column) for column in draw.sample(known, draw.choice([1, 1, 2, 3]))}


def change(draw: random.Random, client: RawOvsdb) -> None:
    """Change something; what the server refuses is not done."""
    found = client.transact(
        *({"op": "select", "table": table, "where": [], "columns": ["_uuid"]} for table in ("Network", "Subnet"))
    )
    networks, subnets = ([row["_uuid"] for row in one["rows"]] for one in found)
    port = draw.randint(1, 4)
    where, other = [["id", "==", uid("c1", port)]], uid("c1", draw.randint(1, 4))
    allocation = {"subnet": draw.choice(subnets), "ip_address": draw.choice(["10.0.0.5", "10.0.0.200", "x"])}
    operations: list[dict[str, Any]] = [
        {"op": "insert", "table": "IpAllocation", "uuid-name": "ip", "row": allocation},
    ]
    match draw.choice([*["update"] * 12, "create", "create", "delete", "swap", "network", "subnet"]):
        case "update":
            row = columns_of_port(draw, port, networks)
            operations.append({"op": "update", "table": "Port", "where": where, "row": row})
        case "create":
            made = port_operation(uid("c1", port), draw.choice(networks), mac(port), fixed_ips=["named-uuid", "ip"])
            operations.append({**made, "uuid": uid("c1", port)})
        case "delete":
            operations.append({"op": "delete", "table": "Port", "where": where})
        case "swap":
            for old, new in ((uid("c1", port), "x"), (other, uid("c1", port)), ("x", other)):
                operations.append({"op": "update", "table": "Port", "where": [["id", "==", old]], "row": {"id": new}})
        case "network":
            row = {"network_type": draw.choice(["gre", "vlan"]), "name": draw.choice(["a", TOO_LONG])}
            where = [["_uuid", "==", draw.choice(networks)]]
            operations.append({"op": "update", "table": "Network", "where": where, "row": row})
        case "subnet":
            row = {"cidr": draw.choice(["10.0.0.0/24", "10.0.0.0/28", "x"])}
            where = [["_uuid", "==", draw.choice(subnets)]]
            operations.append({"op": "update", "table": "Subnet", "where": where, "row": row})
    client.request("transact", DATABASE, *operations)


@pytest.fixture
def lenient(stopped_server: OvsdbServer) -> OvsdbServer:
    """A server with a schema that bounds no text."""
    stopped_server.file.unlink()
    schema = stopped_server.directory / "schema"
    schema.write_text(json.dumps(without_lengths(json.loads(SCHEMA.read_text()))))
    subprocess.run(["ovsdb-tool", "create", stopped_server.file, schema], check=True)
    return stopped_server.start()


@pytest.mark.parametrize("scope", [None, HostScope("h1")], ids=["whole", "part"])
def test_what_follows_changes_is_what_is_made_of_the_rows_at_once(
    lenient: OvsdbServer, scope: HostScope | None
) -> None:
    """Whatever changes, and however many changes are delivered together."""
    draw = random.Random(1)
    for number in range(1, 3):
        lenient.write(
            *network_operations(uid("a1", number), number=number, subnet_id=uid("b1", number)),
            *(
                port_operation(uid("c1", port), ["named-uuid", "network"], mac(port), requested_host="h1")
                for port in (number, number + 2)
            ),
        )
    lenient.write({"op": "insert", "table": "Host", "row": {"name": "h1"}})
    follower = Compared(lenient.connection, scope)
    follower.start()
    try:
        with RawOvsdb(lenient.connection) as client:
            wait_until(lambda: follower.connected, 60, "it is followed")
            for step in map(str, range(STEPS)):
                changed, reads = threading.Event(), threading.Event()
                follower._call(lambda reads=reads, changed=changed: (reads.set(), changed.wait(60)))
                assert reads.wait(60)
                for _ in range(draw.choice([1, 2, 8])):
                    change(draw, client)
                client.transact({"op": "update", "table": "Host", "where": [], "row": {"version": step}})
                changed.set()
                wait_until(lambda step=step: follower.step == step, 60, "it is told")
                assert follower.wrong == [], step
        assert follower.renewed > 5
    finally:
        follower.stop()
