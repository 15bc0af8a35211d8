"""Hosts and bound ports that are rows of a topology database alone, as many as wanted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from tests.support.http.api_process import Client
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from topology.database.topology_database import TopologyDatabase
from topology.model import Host

_PART = 500
_STATUS = ("ACTIVE",) * 47 + ("DOWN", "BUILD")


def fill(api: Client, connection: str, *, hosts: int, ports: int, networks: int) -> None:
    """Make them, and wait until the API shows all.

    :param connection: of its topology database
    """
    _register(connection, hosts)
    names = [f"host{number}" for number in range(1, hosts + 1)]
    made = [api.create("network", name=f"net{number}") for number in range(1, networks + 1)]
    for number, network in enumerate(made):
        cidr = f"10.{number // 250}.{number % 250}.0/24"
        api.create("subnet", network_id=network["id"], ip_version=4, cidr=cidr)
    bound: dict[str, tuple[str, str]] = {}
    wanted = [{"network_id": made[number % networks]["id"], "name": f"vm{number + 1}"} for number in range(ports)]
    for first in range(0, ports, _PART):
        answer = api.request("POST", "/v2.0/ports", {"ports": wanted[first : first + _PART]})
        assert answer.status == 201, answer.json
        for number, port in enumerate(answer.json["ports"], first):
            bound[port["id"]] = names[number % hosts], _STATUS[number % len(_STATUS)]
    _bind(connection, bound)
    last = list(bound)[-1]
    wait_until(
        lambda: api.get(f"/ports/{last}")["port"]["status"] == bound[last][1], 60, "the API has the last binding"
    )


def _register(connection: str, hosts: int) -> None:
    database = TopologyDatabase(connection)
    database.start(lambda _: None)
    try:
        wait_until(lambda: database.connected, 20, "the topology is connected")
        for number in range(1, hosts + 1):
            name = f"host{number}"
            address = f"198.18.{number // 250}.{number % 250 + 1}"
            database.register(Host(name, (address,), ("gre", "vxlan"), instance=str(uuid.uuid4()), version="0.1.0"))
            if number % 50 != 0:  # that one is silent
                database.heartbeat(name)
    finally:
        database.stop()


def _bind(connection: str, bound: dict[str, tuple[str, str]]) -> None:
    with RawOvsdb(connection) as server:
        for part in _parts(list(bound.items())):
            operations: list[Any] = [
                {
                    "op": "update",
                    "table": "Port",
                    "where": [["id", "==", id_]],
                    "row": {"host": host, "status": status},
                }
                for id_, (host, status) in part
            ]
            server.transact(*operations)


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(items), _PART):
        yield items[first : first + _PART]
