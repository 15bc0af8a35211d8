"""Clients of the topology database that send nonsense, flood, read nothing or fill it: what it costs other hosts.

The server has rights by host, and each client, but for the last, the certificate of a host, which is as far as anybody
gets who is no administrator. Meanwhile a device of another host is plugged in, and must be bound. How long that took,
and how large the server was, is printed.
"""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Identity
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, Network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.issued import served_with_rights
from tests.support.raw_ovsdb import RawOvsdb, wait_successor
from topology.database.tables import DATABASE
from topology.server.embedded_server import EmbeddedServer

pytestmark = pytest.mark.one_hub

MIB = 1024 * 1024
CONNECTIONS = 200
"""More than the soft limit of files that the server is started with in these tests."""

ALL: dict[str, Any] = {table: {} for table in ("Network", "Segment", "Port", "Host", "Topology")}


@dataclass(frozen=True)
class Attacked(Host):
    """A host on a server that others attack.

    :param connection: where hosts reach the server
    :param identity: of the host whose certificate the attackers have
    """

    server: EmbeddedServer
    connection: str
    identity: Identity

    def attacker(self) -> RawOvsdb:
        """A connection with the rights of another host."""
        return RawOvsdb(self.connection, self.identity)

    def memory(self) -> float:
        """MB that the server has in use."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def assert_binds(self, network: Network, what: str) -> None:
        """Plug a device in, which must be bound, and say what that took."""
        port = new_port(network)
        self.add_ports(port, requested_host="host1")
        began = time.monotonic()
        self.ovs.plug_many([port.device()])
        self.tunbridge.wait_device(port.name, status="ACTIVE")
        bound = time.monotonic() - began
        self.wait_row(port, "host1", "ACTIVE")
        said = time.monotonic() - began
        print(f"{what}: bound {1000 * bound:.0f} ms after it was plugged in,", end=" ")
        print(f"written {1000 * said:.0f} ms after; the server has {self.memory():.0f} MB")


class RemoteTopology(Tunbridge):
    """A controller whose topology is on another machine; tests write there as its administrators."""

    server: EmbeddedServer

    @property
    def topology(self) -> str:
        """The unix socket of that machine."""
        return self.server.connection


@contextmanager
def few_files() -> Iterator[None]:
    """Processes that are started meanwhile have a soft limit of files that is soon reached, as systemd's 1024 is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def host(hub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """host1, by its certificate; attackers have that of host2."""
    with ExitStack() as stack:
        with few_files():
            folder = tmp_path_factory.mktemp("attacked")
            server, connection, issued = stack.enter_context(served_with_rights(folder))
        ovs = stack.enter_context(OvsHost())
        options = {
            "ovs": {"local_ip": "192.0.2.1"},
            "topology": issued.identity("host1").options(connection=connection),
        }
        controller = RemoteTopology(ovs, hub=hub, options=options)
        controller.server = server
        stack.enter_context(controller).wait_in_sync()
        yield Attacked(ovs, controller, server, connection, issued.identity("host2"))


@contextmanager
def in_threads(*bodies: Callable[[threading.Event], None]) -> Iterator[None]:
    """Call each again and again in a thread of its own; a connection that the server ends is the end of one."""
    ended = threading.Event()

    def run(body: Callable[[threading.Event], None]) -> None:
        with suppress(OSError):
            body(ended)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def flooding(host: Attacked, method: str, *params: Any) -> Callable[[threading.Event], None]:
    """Requests one after the other, ten under way at any time; their answers are read."""

    def flood(ended: threading.Event) -> None:
        with host.attacker() as attacker:
            for _ in range(10):
                attacker.send(method, *params)
            for _ in attacker.messages():
                if ended.is_set():
                    return
                attacker.send(method, *params)

    return flood


NONSENSE = {
    "no JSON": b"GET / HTTP/1.0\r\n\r\n",
    "zeros": bytes(1000),
    "no request": b'{"a": 1}',
    "no object": b"[]",
    "nested deeply": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_ends_the_connection(host: Attacked, nonsense: bytes) -> None:
    """And nothing else."""
    pid, before = host.server.pid, host.memory()
    attacker = host.attacker()
    with attacker, suppress(OSError):  # it may be ended while we still send
        attacker.sock.sendall(nonsense)
        while attacker.sock.recv(1 << 16):
            pass
    assert host.server.pid == pid
    assert host.memory() < before + 10


def test_unknown_requests_are_answered_with_errors(host: Attacked) -> None:
    """The connection goes on: an error is an answer."""
    with host.attacker() as attacker:
        for method, params in (("nonsense", []), ("monitor", [1, 2]), ("transact", ["none"]), ("lock", [{}])):
            number = attacker.send(method, *params)
            answer = next(message for message in attacker.messages() if message.get("id") == number)
            assert answer["error"]
        assert DATABASE in attacker.request("list_dbs")


def unread(host: Attacked, stack: ExitStack) -> None:
    """Twenty that ask for everything, and read none of it."""
    for _ in range(20):
        attacker = stack.enter_context(host.attacker())
        for number in range(20):
            attacker.send("monitor", DATABASE, number, ALL)


def endless(host: Attacked, stack: ExitStack) -> None:
    """A message that does not end: for each byte the server has some 30 of memory."""
    attacker = stack.enter_context(host.attacker())
    attacker.sock.sendall(b'{"id": 1, "method": "echo", "params": [' + b"{}," * (2 * MIB))


def many_monitors(host: Attacked, stack: ExitStack) -> None:
    """The server goes through all that anybody follows whenever something changes."""
    attacker = stack.enter_context(host.attacker())
    for number in range(500):
        where = [["name", "==", str(number)]]
        attacker.request("monitor_cond", DATABASE, number, {"Port": [{"columns": ["name"], "where": where}]})


def many_locks(host: Attacked, stack: ExitStack) -> None:
    """They cost memory, and nobody else."""
    attacker = stack.enter_context(host.attacker())
    for number in range(1000):
        attacker.request("lock", f"lock{number}")


def large_row(host: Attacked, stack: ExitStack) -> None:
    """The attacker's own row of Host, which all hosts read."""
    attacker = stack.enter_context(host.attacker())
    attributes = ["map", [[str(number), "x" * 250_000] for number in range(40)]]
    insert = {"op": "insert", "table": "Host", "row": {"name": "host2", "attributes": attributes}}
    delete = {"op": "delete", "table": "Host", "where": [["name", "==", "host2"]]}
    attacker.transact(insert)
    stack.callback(attacker.transact, delete)


def echoes(host: Attacked, stack: ExitStack) -> None:
    """Two that ask for echoes as fast as they can."""
    stack.enter_context(in_threads(*[flooding(host, "echo")] * 2))


def reads(host: Attacked, stack: ExitStack) -> None:
    """Two that read everything again and again."""
    select = {"op": "select", "table": "Port", "where": []}
    stack.enter_context(in_threads(*[flooding(host, "transact", DATABASE, *[select] * 20)] * 2))


def writes(host: Attacked, stack: ExitStack) -> None:
    """Two that write all the time what is theirs to write, or try what is not."""
    row = {"name": "host2", "last_seen": 1}
    insert = {"op": "insert", "table": "HostState", "row": row}
    delete = {"op": "delete", "table": "HostState", "where": [["name", "==", "host2"]]}
    other = {"op": "delete", "table": "Network", "where": []}
    stack.enter_context(in_threads(flooding(host, "transact", DATABASE, delete, insert, delete)))
    stack.enter_context(in_threads(flooding(host, "transact", DATABASE, other)))


def many_connections(host: Attacked, stack: ExitStack) -> None:
    """More than the limit of files that programs have as they come, all of which are served."""
    for _ in range(CONNECTIONS):
        stack.enter_context(host.attacker()).request("list_dbs")
    assert len(list(Path(f"/proc/{host.server.pid}/fd").iterdir())) > CONNECTIONS


def no_certificates(host: Attacked, stack: ExitStack) -> None:
    """Who has none: the server reads nothing of them."""
    for _ in range(20):
        attacker = stack.enter_context(RawOvsdb(host.connection))
        with suppress(OSError):
            attacker.sock.sendall(b'{"id": 1, "method": "echo", "params": [' + b"{}," * MIB)


ATTACKS = (
    unread, endless, many_monitors, many_locks, large_row, echoes, reads, writes, many_connections, no_certificates
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_port_is_bound_meanwhile(
    host: Attacked, network: Network, attack: Callable[[Attacked, ExitStack], None]
) -> None:
    """Whatever one host does to the server; and the server is the same afterwards."""
    pid = host.server.pid
    with ExitStack() as stack:
        attack(host, stack)
        host.assert_binds(network, attack.__name__)
    assert host.server.pid == pid
    host.assert_binds(network, "afterwards")


def test_a_server_that_is_out_of_memory_is_there_again(host: Attacked, network: Network) -> None:
    """At a limit as systemd sets it, it ends and is started again: what it had stays, and hosts come back."""
    pid = host.server.pid
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_AS, (300 * MIB, 300 * MIB))
    with host.attacker() as attacker, suppress(OSError):
        while True:
            attacker.sock.sendall(b'{"id": 1, "method": "echo", "params": [' + b"{}," * MIB)
    wait_successor(host.server, pid)
    host.assert_binds(network, "after the server was ended for want of memory")
