"""Hosts that are but their connections to the topology: what its server has of a host, without the host.

Each is registered, follows what a controller with ``follow = host`` follows when it has its ports, answers when it is
asked whether it lives, asks the server the same, and says every 30 s that it lives.
"""

from __future__ import annotations

import heapq
import json
import math
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.fabric import group_of, tunnel_address
from bench.host import network_id
from bench.watch import Watcher
from tests.support.raw_ovsdb import RawOvsdb
from topology.database.host_scope import NetworkRow, Version, conditions, version_conditions
from topology.database.tables import DATABASE, HOST_STATE, RBAC_ROLE, SCHEMA, TABLES

_PROBE, _HEARTBEAT = 5.0, 30.0  # seconds, as of controllers
_GOLDEN = 0.618  # multiples of it are spread evenly
_ALL = "all"
_COLUMNS = {table: sorted(one["columns"]) for table, one in json.loads(SCHEMA.read_text())["tables"].items()}


class LightHost:
    """One of them; a :class:`bench.watch.Source`.

    :param monitored: table → conditions
    """

    def __init__(self, number: int, connection: str, monitored: Mapping[str, list[Any]]) -> None:
        _, address, port = connection.split(":")
        self.name = f"host{number}"
        self.sock = socket.create_connection((address, int(port)))
        self.is_there = False
        """Whether it has all rows that it follows."""
        self._received: list[bytes] = []
        self._send("set_db_change_aware", [True])
        self._send("monitor_cond", ["_Server", "server", {"Database": [{}]}])
        wanted = {name: [{"columns": _COLUMNS[name], "where": monitored.get(name, [True])}] for name in TABLES}
        wanted[RBAC_ROLE] = [{}]
        self._send("monitor_cond_since", [DATABASE, _ALL, wanted, str(uuid.UUID(int=0))])

    def _send(self, method: str, params: Sequence[Any]) -> None:
        self.sock.sendall(json.dumps({"method": method, "params": params, "id": method}).encode())

    def probe(self) -> None:
        """Ask whether the server is there."""
        self._send("echo", [])

    def heartbeat(self) -> None:
        """Say that it lives, as :func:`topology.database.host_registry.mark_alive` does."""
        row = {"name": self.name, "last_seen": int(time.time() * 1000)}
        delete = {"op": "delete", "table": HOST_STATE, "where": [["name", "==", self.name]]}
        self._send("transact", [DATABASE, delete, {"op": "insert", "table": HOST_STATE, "row": row}])

    def feed(self, data: bytes, now: float) -> None:
        self._received.append(data)
        if not data.endswith(b"}"):  # what is large comes in many parts
            return
        text, start = b"".join(self._received).decode(), 0
        with suppress(ValueError):  # the rest of it is still to come
            while start < len(text):
                message, start = json.JSONDecoder().raw_decode(text, start)
                self._message(message)
        self._received = [text[start:].encode()]

    def _message(self, message: Mapping[str, Any]) -> None:
        if message.get("method") == "echo":
            answer = {"result": message["params"], "error": None, "id": message["id"]}
            self.sock.sendall(json.dumps(answer).encode())
        elif message.get("id") == "monitor_cond_since":
            assert message["error"] is None, message["error"]
            self.is_there = True


def _register(server: RawOvsdb, numbers: range) -> None:
    operations: list[dict[str, Any]] = []
    for number in numbers:
        name, endpoint = f"host{number}", f"endpoint{number}"
        address = {"ip_address": tunnel_address(number), "host": name}
        operations.append({"op": "insert", "table": "TunnelEndpoint", "uuid-name": endpoint, "row": address})
        row = {
            "name": name,
            "tunnel_endpoints": ["named-uuid", endpoint],
            "tunnel_types": "gre",
            "instance": str(uuid.uuid4()),
        }
        operations.append({"op": "insert", "table": "Host", "row": row})
    server.transact(*operations)


def _select(server: RawOvsdb, table: str, where: list[Any]) -> list[dict[str, Any]]:
    (found,) = server.transact({"op": "select", "table": table, "where": where})
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def _reference(value: list[Any]) -> uuid.UUID:
    return uuid.UUID(value[1])


def _networks(server: RawOvsdb, group: range) -> dict[uuid.UUID, NetworkRow]:
    found = {}
    for number in group:
        (row,) = _select(server, "Network", [["id", "==", network_id(number)]])
        parts = (_reference(row["segments"]),), (_reference(row["subnets"]),)
        found[_reference(row["_uuid"])] = NetworkRow(row["id"], *parts)
    return found


def _all_monitored(connection: str, numbers: range) -> dict[int, Mapping[str, list[Any]]]:
    """Register the hosts; what each follows."""
    with RawOvsdb(connection) as server:
        _register(server, numbers)
        (row,) = _select(server, "Topology", [])
        version = {"Topology": version_conditions(Version(_reference(row["_uuid"]), row["revision"]))}
        known = {group: _networks(server, group) for group in {group_of(number) for number in numbers}}
    networks = {number: known[group_of(number)] for number in numbers}
    return {
        number: {**conditions(f"host{number}", networks[number], networks[number], (), ()), **version}
        for number in numbers
    }


_Due = list[tuple[float, int, float, LightHost]]
"""A heap of moments, numbers of hosts, intervals and hosts."""


def _live(watcher: Watcher, due: _Due, until: float) -> None:
    """Have hosts read and say what they have to until a time of :func:`time.monotonic`."""
    is_over = False
    while not is_over:
        now = time.monotonic()
        is_over, moment = now >= until, min(until, due[0][0])
        with suppress(TimeoutError):
            watcher.until(lambda: False, max(0.001, moment - now), "something is due")
        while due[0][0] <= time.monotonic():
            moment, number, interval, host = due[0]
            host.probe() if interval == _PROBE else host.heartbeat()
            heapq.heapreplace(due, (moment + interval, number, interval, host))


def main() -> None:
    """Be the hosts of these numbers until the end: ``light_hosts.py CONNECTION FIRST END``."""
    connection, first, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    hosts: list[LightHost] = []
    due: _Due = []
    with Watcher() as watcher:
        for number, monitored in _all_monitored(connection, range(first, end)).items():
            hosts.append(LightHost(number, connection, monitored))
            watcher.add(hosts[-1])
            now, part = time.monotonic(), number * _GOLDEN % 1
            for interval in (_PROBE, _HEARTBEAT):
                heapq.heappush(due, (now + part * interval, number, interval, hosts[-1]))
            _live(watcher, due, now)
        while not all(host.is_there for host in hosts):
            _live(watcher, due, time.monotonic() + 0.1)
        print("ready", flush=True)
        _live(watcher, due, math.inf)


if __name__ == "__main__":
    main()
