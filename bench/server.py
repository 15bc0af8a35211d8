"""What a topology database server needs, and what clients cost that ask for too much, read nothing or say nonsense.

A server of one host and a cluster are filled; then clients that are let in do each of these, and beside them somebody
else writes. Figures, not assertions: docs/rack.md and docs/security.md have some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.following import Writer
from scripts.processes import ProcessError
from tests.support.cluster import Cluster
from tests.support.raw_ovsdb import RawOvsdb
from tests.topology.ovsdb import OvsdbServer
from topology.database.tables import DATABASE

_MB = 1_000_000
_ALL = {table: {} for table in ("Network", "Segment", "Port", "Topology")}
_CHANGE = {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]}
_WRITES = 20

Clients = Callable[[Callable[[], RawOvsdb], ExitStack], object]


def _memory(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _sizes(ports: int) -> None:
    with OvsdbServer() as server:
        Writer(server.start()).fill(ports)
        assert server.process is not None
        alone = _memory(server.process.pid), server.file.stat().st_size / _MB
        server.kill()
        with Cluster(3, server.file) as cluster:
            leader = cluster.leader()
            member = _memory(int((leader.state / "topology.pid").read_text())), leader.file.stat().st_size / _MB
    print(f"{ports:>6}  {alone[0]:8.0f} MB {alone[1]:5.1f} MB  {member[0]:8.0f} MB {member[1]:5.1f} MB", flush=True)


def idle(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """Nobody."""


def unread(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """50 clients that ask for everything and read nothing."""
    for _ in range(50):
        stack.enter_context(connect()).send("monitor", DATABASE, 1, _ALL)


def string(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """A message that does not end: 100 MB of a string."""
    stack.enter_context(connect()).sock.sendall(b'{"id": "' + b"x" * (100 * _MB))


def array(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """A message that does not end: 10 MB of an array."""
    stack.enter_context(connect()).sock.sendall(b'{"id": [' + b"{}," * (10 * _MB // 3))


def locks(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """20,000 locks."""
    client = stack.enter_context(connect())
    for number in range(20_000):
        client.request("lock", f"lock{number}")


def monitors(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """3,000 conditions on ports, of one client, which reads."""
    client = stack.enter_context(connect())
    for number in range(3000):
        where = [["name", "==", str(number)]]
        client.request("monitor_cond", DATABASE, number, {"Port": [{"columns": ["name"], "where": where}]})
    _reading(client, stack)


def echoes(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """10 clients that ask for echoes without a pause."""
    _flood(connect, stack, json.dumps({"method": "echo", "params": [], "id": 1}).encode() * 100)


def reads(connect: Callable[[], RawOvsdb], stack: ExitStack) -> None:
    """10 clients that read all ports without a pause."""
    select = {"op": "select", "table": "Port", "where": []}
    _flood(connect, stack, json.dumps({"method": "transact", "params": [DATABASE, select], "id": 1}).encode() * 10)


CLIENTS: tuple[Clients, ...] = (idle, unread, locks, echoes, reads, string, array, monitors)
"""Those that leave the server with more memory than before, and busy, come last."""


def _reading(client: RawOvsdb, stack: ExitStack) -> None:
    """Read all that a client is sent, and drop it."""

    def read() -> None:
        with suppress(OSError):
            while client.sock.recv(1 << 20):
                pass

    threading.Thread(target=read, daemon=True).start()


def _flood(connect: Callable[[], RawOvsdb], stack: ExitStack, data: bytes) -> None:
    ended = threading.Event()

    def send(client: RawOvsdb) -> None:
        with suppress(OSError):
            while not ended.is_set():
                client.sock.sendall(data)

    for _ in range(10):
        client = stack.enter_context(connect())
        _reading(client, stack)
        threading.Thread(target=send, args=(client,), daemon=True).start()
    stack.callback(ended.set)


@contextmanager
def _server(ports: int) -> Iterator[OvsdbServer]:
    with OvsdbServer() as server:
        Writer(server.start()).fill(ports)
        yield server


def _costs(ports: int) -> None:
    with _server(ports) as server, RawOvsdb(server.connection) as writer:
        assert server.process is not None
        touch = {"op": "update", "table": "Port", "where": [], "row": {"name": ""}}
        for clients in CLIENTS:
            with ExitStack() as stack:
                clients(partial(RawOvsdb, server.connection), stack)
                time.sleep(0.5)
                took = [_timed(lambda: writer.transact(_CHANGE)) for _ in range(_WRITES)]
                all_ports = []
                for number in range(3):
                    touch["row"] = {"name": f"name {number}"}
                    all_ports.append(_timed(lambda: writer.transact(touch)))
                memory = _memory(server.process.pid)
            print(
                f"{1000 * statistics.median(took):8.1f} {1000 * max(took):8.1f} ms {1000 * max(all_ports):8.0f} ms"
                f" {memory:6.0f} MB  {(clients.__doc__ or '').strip()}",
                flush=True,
            )


def _timed(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what a topology database server needs.")
    parser.add_argument("--ports", default="1000,10000", help="sizes of the topology (default: %(default)s)")
    parser.add_argument("--beside", type=int, default=1000, help="ports for the clients (default: %(default)s)")
    arguments = parser.parse_args()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    try:
        print(" ports  one server: memory, file  member: memory, file")
        for ports in arguments.ports.split(","):
            _sizes(int(ports))
        print(f"\na write: median, most    of all {arguments.beside} ports  memory  beside", flush=True)
        _costs(arguments.beside)
    except (AssertionError, ProcessError) as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
