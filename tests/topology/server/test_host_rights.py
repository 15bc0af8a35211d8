"""Rights by host: a real ovsdb-server with real certificates, and hosts that try what is not theirs."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, TopologyHost
from tests.support.host.tunbridge import free_tcp_port
from tests.support.issued import IssuedCertificates, served_with_rights, tls
from tests.support.waiting import wait_until
from tests.topology.racer import POLICY
from topology.database.host_registry import read_hosts
from topology.database.host_scope import HostScope
from topology.database.resource_database import ResourceDatabase
from topology.database.tables import DATABASE, SCHEMA
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyError, TopologyUnavailable
from topology.model import Host, Network, NetworkType, Port, PortStatus
from topology.ovsdb.one_shot import opened
from topology.rules.access.policy import ADMIN
from topology.rules.attributes.attributes import RESOURCES
from topology.server.embedded_server import EmbeddedServer
from topology.server.host_rights import ROLE, write_rights
from topology.server.ovsdb_tools import ovsdb_tool
from topology.server.relay_server import RelayServer
from topology.source import PortInterest, PortReport, TopologyBatch, WriteBack

Row = dict[str, Any]
N1 = "00000000-0000-4000-8000-0000000000a1"
PORTS = {
    "free": {},
    "mine": {"requested_host": "h1"},
    "moves": {"requested_host": "h1", "host": "h2"},
    "bound": {"host": "h1"},
    "his": {"requested_host": "h2"},
    "hers": {"host": "h2", "status": "ACTIVE"},
}
"""Name → row of each port that is there, as h1 would call it."""
IDS = {name: f"00000000-0000-4000-8000-0000000000{number:02x}" for number, name in enumerate(PORTS)}
ADDRESSES = {"h1": "192.0.2.1", "h2": "192.0.2.2"}


def host(name: str) -> Host:
    return Host(name, tunnel_ips=(ADDRESSES[name],), instance=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)))


def update(table: str, where: list[Any], **row: Any) -> Row:
    return {"op": "update", "table": table, "where": where, "row": row}


def insert(table: str, **row: Any) -> Row:
    return {"op": "insert", "table": table, "uuid-name": f"new{table}", "row": row}


def delete(table: str, *where: Any) -> Row:
    return {"op": "delete", "table": table, "where": list(where)}


def port(name: str) -> list[Any]:
    return ["id", "==", IDS[name]]


def named(name: str) -> list[Any]:
    return ["name", "==", name]


@dataclass
class Fabric:
    """A topology with rights by host.

    :param connection: by which hosts come
    """

    server: EmbeddedServer
    connection: str
    issued: IssuedCertificates

    def transact(self, *operations: Row, name: str | None = None) -> list[Any]:
        """Write by hand, as a host or, without a name, by the unix socket."""
        where = ["transact", self.server.connection]
        if name is not None:
            where = [*self.issued.identity(name).arguments(), "transact", self.connection]
        argv = ["ovsdb-client", *where, json.dumps([DATABASE, *operations])]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        results: list[Any] = json.loads(done.stdout)
        return results

    def rows(self, table: str, *where: Any) -> list[Row]:
        [result] = self.transact({"op": "select", "table": table, "where": list(where)})
        rows: list[Row] = result["rows"]
        return rows

    def contents(self) -> dict[str, list[Row]]:
        """All tables."""
        tables = sorted(json.loads(SCHEMA.read_text())["tables"])
        results = self.transact(*({"op": "select", "table": table, "where": []} for table in tables))
        return {
            table: sorted(result["rows"], key=lambda row: str(row["_uuid"]))
            for table, result in zip(tables, results, strict=True)
        }

    def port(self, name: str) -> tuple[Any, Any]:
        """Who has a port, and its status."""
        [row] = self.rows("Port", port(name))
        return row["host"] if isinstance(row["host"], str) else None, row["status"]

    def database(self, name: str) -> TopologyDatabase:
        return TopologyDatabase(self.connection, self.issued.identity(name).files())

    def fill(self) -> None:
        """A network, ports, and two hosts."""
        rows = [{"status": "DOWN", **row} for row in PORTS.values()]
        ports = [
            insert("Port", id=IDS[name], network=["named-uuid", "newNetwork"], mac_address=f"fa:16:3e:00:00:{one:02x}")
            for one, name in enumerate(PORTS)
        ]
        for one, row in zip(ports, rows, strict=True):
            del one["uuid-name"]
            one["row"] |= row | {"admin_state_up": True}
        self.transact(insert("Network", id=N1, network_type="local", name="n1", admin_state_up=True), *ports)
        for name in ADDRESSES:
            with opened(self.database(name), 20) as _:
                pass
            database = self.database(name)
            with opened(database, 20):
                database.register(host(name))
                database.heartbeat(name)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """One for all tests."""
    with served_with_rights(tmp_path_factory.mktemp("rights")) as parts:
        yield Fabric(*parts)


@pytest.fixture
def fabric(served: Fabric) -> Fabric:
    """The same with what is there at the beginning."""
    tables = ("Port", "Network", "Host", "HostState", "PortClaim")
    served.transact(*(delete(table) for table in tables))
    served.fill()
    return served


ROW_OF_PORT = {
    "network": ["uuid", str(uuid.uuid4())],
    "mac_address": "fa:16:3e:00:01:00",
    "status": "DOWN",
    "admin_state_up": True,
}

REFUSED: dict[str, list[Row]] = {
    "change another host": [update("Host", [named("h2")], version="9")],
    "change all hosts": [update("Host", [], tunnel_types=["set", []])],
    "be called as another": [update("Host", [named("h1")], name="h2")],
    "be called as nobody yet": [update("Host", [named("h1")], name="h3")],
    "enter another host": [insert("Host", name="h3")],
    "delete another host": [delete("Host", named("h2"))],
    "delete all hosts": [delete("Host")],
    "say that another lives": [insert("HostState", name="h3", last_seen=1)],
    "say that another is silent": [delete("HostState", named("h2"))],
    "change another's last sign of life": [update("HostState", [named("h2")], last_seen=1)],
    "give another an address": [
        insert("TunnelEndpoint", ip_address="192.0.2.9", host="h2"),
        update("Host", [named("h1")], tunnel_endpoints=["named-uuid", "newTunnelEndpoint"]),
    ],
    "have an address that is nobody's": [
        insert("TunnelEndpoint", ip_address="192.0.2.9"),
        update("Host", [named("h1")], tunnel_endpoints=["named-uuid", "newTunnelEndpoint"]),
    ],
    "change another's address": [update("TunnelEndpoint", [["host", "==", "h2"]], ip_address="192.0.2.9")],
    "take another's address over": [update("TunnelEndpoint", [["host", "==", "h2"]], host="h1")],
    "claim a port that is requested for another": [update("Port", [port("his")], host="h1")],
    "claim a port that another has bound": [update("Port", [port("hers")], host="h1", status="ACTIVE")],
    "claim a free port by hand": [update("Port", [port("free")], host="h1")],
    "claim all ports": [update("Port", [], host="h1")],
    "claim a port in the name of another": [insert("PortClaim", host="h2", status="ACTIVE")],
    "write the status of a port of another": [update("Port", [port("hers")], status="DOWN")],
    "write the status of a port that is requested for another": [update("Port", [port("his")], status="ACTIVE")],
    "write the status of all ports": [update("Port", [], status="DOWN")],
    "create a network": [insert("Network", id=str(uuid.uuid4()), network_type="local")],
    "create a port": [insert("Port", id=str(uuid.uuid4()), **ROW_OF_PORT)],
    "create a port of its own": [insert("Port", id=str(uuid.uuid4()), **ROW_OF_PORT, host="h1", requested_host="h1")],
    "delete a network": [delete("Network")],
    "delete a port": [delete("Port", port("hers"))],
    "delete its own port": [delete("Port", port("bound"))],
    "delete the port that is requested for it": [delete("Port", port("mine"))],
    "rename a network": [update("Network", [], name="mine")],
    "rename a port": [update("Port", [port("his")], name="mine")],
    "rename its own port": [update("Port", [port("bound")], name="mine")],
    "have a port requested for it": [update("Port", [port("his")], requested_host="h1")],
    "give its own port to another": [update("Port", [port("mine")], requested_host="h2")],
    "change its port's MAC address": [update("Port", [port("mine")], mac_address="fa:16:3e:00:00:99")],
    "change its port's attributes": [update("Port", [port("mine")], attributes=["map", [["description", '"x"']]])],
    "switch its port on": [update("Port", [port("mine")], admin_state_up=True)],
    "switch a network off": [update("Network", [], admin_state_up=False)],
    "change a network's attributes": [
        {"op": "mutate", "table": "Network", "where": [], "mutations": [["attributes", "delete", ["set", ["mtu"]]]]}
    ],
    "give a network a subnet": [
        insert("Subnet", id=str(uuid.uuid4()), cidr="10.0.0.0/24"),
        update("Network", [], subnets=["named-uuid", "newSubnet"]),
    ],
    "count a change": [{"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]}],
    "delete the identity of the database": [delete("Topology")],
    "have a quota": [insert("Quota", project_id="p")],
    "have something told": [insert("Notification", port_id="p", device_id="d", status="DOWN")],
    "have more rights": [update("RBAC_Permission", [], update=["set", ["name", "requested_host"]])],
    "have no role": [update("Connection", [], role="")],
    "have a connection of its own": [
        insert("Connection", target="ptcp:0"),
        update("TopologyServer", [], connections=["named-uuid", "newConnection"]),
    ],
    "have a role of its own": [insert("RBAC_Role", name="mine")],
    "delete the role": [delete("RBAC_Role")],
    "delete where to connect": [delete("TopologyServer")],
    "do that behind what it may": [update("Host", [named("h1")], version="9"), update("Network", [], name="mine")],
}
"""What h1 attempts."""


@pytest.fixture(scope="module")
def attempted(served: Fabric) -> Fabric:
    """For attempts, none of which changes anything."""
    served.transact(*(delete(table) for table in ("Port", "Network", "Host", "HostState", "PortClaim")))
    served.fill()
    return served


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_a_host_may_not(attempted: Fabric, attempt: list[Row]) -> None:
    """Each is refused for want of rights, not because the row would be wrong, and changes nothing."""
    before = attempted.contents()
    results = attempted.transact(*attempt, name="h1")
    errors = [result for result in results if result and "error" in result]
    assert [error["error"] for error in errors] == ["permission error"], results
    assert errors[0]["details"].startswith(f'RBAC rules for client "h1" role "{ROLE}" prohibit ')
    assert attempted.contents() == before


def test_a_host_may_not_convert_the_schema(attempted: Fabric, tmp_path: Path) -> None:
    """Which any client may that has no role: it could drop the indexes, and the tables of the rights."""
    schema = json.loads(SCHEMA.read_text())
    del schema["tables"]["RBAC_Role"]
    (tmp_path / "schema").write_text(json.dumps(schema))
    arguments = [*attempted.issued.identity("h1").arguments(), "convert", attempted.connection, tmp_path / "schema"]
    done = subprocess.run(["ovsdb-client", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "only the root role may convert" in done.stderr
    assert attempted.rows("RBAC_Role")


def test_what_a_host_does_is_not_refused(fabric: Fabric) -> None:
    """Registration, heartbeats, claims of ports that are requested for it or free, status, and giving them up."""
    database = fabric.database("h1")
    with opened(database, 20):
        moved = Host("h1", tunnel_ips=("192.0.2.7", "192.0.2.1"), instance=host("h1").instance, version="2")
        assert database.register(moved)
        assert not database.register(moved)
        database.heartbeat("h1")
        for name, status in (("mine", PortStatus.ACTIVE), ("moves", PortStatus.BUILD), ("bound", PortStatus.ACTIVE)):
            assert database.report([PortReport(IDS[name], "h1", True, status)]) == 1
            assert fabric.port(name) == ("h1", status)
        for status in (PortStatus.BUILD, PortStatus.ACTIVE):
            database.report([PortReport(IDS["free"], "h1", True, status)])
        wait_until(lambda: fabric.port("free") == ("h1", PortStatus.ACTIVE), 20, "the free port is claimed")
        wait_until(
            lambda: database.report([PortReport(IDS["free"], "h1", True, PortStatus.BUILD)]), 20, "it is the host's own"
        )
        names = ("free", "mine", "moves", "bound")
        assert database.report(PortReport(IDS[name], "h1", False, PortStatus.DOWN) for name in names) == 4
        assert {fabric.port(name) for name in names} == {(None, PortStatus.DOWN)}
    [info] = [one for one in read_hosts(fabric.connection, tls=fabric.issued.identity("h1").files()).hosts
              if one.host.name == "h1"]  # fmt: skip
    assert info.host == moved and info.last_seen is not None
    assert fabric.rows("PortClaim") == []


@pytest.mark.parametrize("name", ["his", "hers", "mine", "moves", "bound"])
def test_a_claim_of_what_is_not_free_goes_without_effect(fabric: Fabric, name: str) -> None:
    """Also when it is inserted by hand: h2 would have a port that is h1's, or be said to have h2's own."""
    [row] = fabric.rows("Port", port(name))
    who = "h2" if name in ("mine", "bound") else "h1"
    before = fabric.port(name)
    [result] = fabric.transact(insert("PortClaim", port=row["_uuid"], host=who, status="ACTIVE"), name=who)
    assert "error" not in result
    wait_until(lambda: not fabric.rows("PortClaim"), 20, "the claim is gone")
    assert fabric.port(name) == before


def test_of_two_claims_one_is_granted(fabric: Fabric) -> None:
    """And claims of nothing, or of a port that is deleted meanwhile, are in nobody's way."""
    [row] = fabric.rows("Port", port("free"))
    for name in ("h2", "h1"):
        fabric.transact(insert("PortClaim", host=name, status="DOWN"), name=name)
        fabric.transact(insert("PortClaim", port=row["_uuid"], host=name, status="BUILD"), name=name)
        fabric.transact(insert("PortClaim", port=["uuid", str(uuid.uuid4())], host=name, status="BUILD"), name=name)
    wait_until(lambda: not fabric.rows("PortClaim"), 20, "all claims are gone")
    assert fabric.port("free") == ("h2", "BUILD")


@pytest.mark.parametrize("name", ["h2", "h9"])
def test_a_certificate_of_another_name_registers_nobody(fabric: Fabric, name: str) -> None:
    """A host that is there, or none yet; the error says what the certificate must say."""
    before = fabric.contents()
    database = fabric.database("h3")
    with opened(database, 20), pytest.raises(TopologyError) as caught:
        database.register(Host(name, tunnel_ips=("192.0.2.77",), instance=str(uuid.uuid4())))
    if name == "h9":
        assert 'RBAC rules for client "h3"' in str(caught.value)
        assert str(caught.value).endswith("The common name of this host's certificate must be h9")
    assert fabric.contents() == before


def test_a_port_that_another_has_is_claimed_once_it_is_given_up(fabric: Fabric) -> None:
    """Its controller tells the same again when the row has changed."""
    first, second = fabric.database("h1"), fabric.database("h2")
    with opened(first, 20), opened(second, 20):
        assert first.report([PortReport(IDS["hers"], "h1", True, PortStatus.ACTIVE)]) == 0
        assert second.report([PortReport(IDS["hers"], "h2", False, PortStatus.DOWN)]) == 1
        wait_until(
            lambda: first.report([PortReport(IDS["hers"], "h1", True, PortStatus.ACTIVE)]), 20, "it is asked for"
        )
        wait_until(lambda: fabric.port("hers") == ("h1", "ACTIVE"), 20, "it is claimed")


def test_a_host_that_says_another_has_its_address_takes_nothing_from_it(fabric: Fabric) -> None:
    """It can refer to the row, which no role forbids: that counts for nobody, and the owner starts as ever."""
    [row] = fabric.rows("TunnelEndpoint", ["host", "==", "h1"])
    stolen = ["set", [row["_uuid"]]]
    [result] = fabric.transact(update("Host", [named("h2")], tunnel_endpoints=stolen), name="h2")
    assert result == {"count": 1}
    with opened(fabric.database("h2"), 20) as batch:
        hosts = {name: one.tunnel_ips for name, one in batch.hosts.items() if one is not None}
        assert hosts == {"h1": ("192.0.2.1",), "h2": ()}
        assert "host: it is h1's, so h2 cannot have it" in [problem.reason for problem in batch.problems]
    database = fabric.database("h1")
    with opened(database, 20):
        assert not database.register(host("h1"))


def test_what_runs_on_a_host_is_not_written_back(fabric: Fabric) -> None:
    """The controller says why, of each; nothing is changed."""
    before = fabric.contents()
    network = Network("00000000-0000-4000-8000-0000000000a9", NetworkType.LOCAL)
    wanted = Port("00000000-0000-4000-8000-0000000000b9", network.id, "fa:16:3e:00:00:77")
    database = fabric.database("h1")
    with opened(database, 20):
        refused = database.write_back(WriteBack({network.id: network}, {wanted.id: wanted}))
    assert refused.keys() == {network.id, wanted.id}
    assert all("[topology] host_rights" in reason for reason in refused.values())
    assert fabric.contents() == before


def test_a_renewed_certificate_is_the_same_host_and_an_expired_one_none(fabric: Fabric) -> None:
    fabric.issued.identity("h5", expired=True)
    with pytest.raises(TopologyUnavailable, match="certificate expired; renew it"):
        read_hosts(fabric.connection, 6.0, fabric.issued.identity("h5").files())
    tls(fabric.issued.folder, "renew", "h1", "h5")
    assert fabric.transact(update("Host", [named("h1")], version="3"), name="h1") == [{"count": 1}]
    assert "error" in fabric.transact(update("Host", [named("h1")], version="3"), name="h5")[0]
    assert fabric.transact(insert("Host", name="h5"), name="h5")[0].keys() == {"uuid"}


def test_rights_end_and_begin_with_the_option(tmp_path: Path) -> None:
    """A database of before, converted at the start: its host's address becomes a row of the host's own, and what had a
    role may write all after a start without the option."""
    issued = IssuedCertificates(tmp_path / "pki")
    connection = f"ssl:127.0.0.1:{free_tcp_port()}"
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    schema = json.loads(SCHEMA.read_text())
    for table in ("PortClaim", "TopologyServer", "Connection", "RBAC_Role", "RBAC_Permission"):
        del schema["tables"][table]
    del schema["tables"]["TunnelEndpoint"]["columns"]["host"]
    (tmp_path / "schema").write_text(json.dumps({**schema, "version": "1.4.0"}))
    subprocess.run(["ovsdb-tool", "create", state / "topology.db", tmp_path / "schema"], check=True)
    before = [
        insert("TunnelEndpoint", ip_address="192.0.2.1"),
        insert("Host", name="h1", tunnel_endpoints=["named-uuid", "newTunnelEndpoint"], instance=host("h1").instance),
        insert("Topology", revision=7),
    ]
    transaction = json.dumps([DATABASE, *before])
    subprocess.run(["ovsdb-tool", "transact", state / "topology.db", transaction], check=True, capture_output=True)

    def served(rights: bool, check: Callable[[Fabric], None]) -> None:
        files = issued.identity("topology").files()
        server = EmbeddedServer(state, tmp_path / "run", (connection,), files, host_rights=rights)
        server.start()
        try:
            check(Fabric(server, connection, issued))
        finally:
            server.stop()

    def rows(fabric: Fabric) -> list[str]:
        return [str(row["_uuid"]) for table in fabric.contents().values() for row in table]

    def registers(fabric: Fabric) -> None:
        batches: list[TopologyBatch] = []
        database = fabric.database("h1")
        database.start(batches.append)
        try:
            wait_until(lambda: batches, 20, "the topology has come")
            database.register(host("h1"))
            assert [row["host"] for row in fabric.rows("TunnelEndpoint")] == ["h1"]
            assert [row["revision"] for row in fabric.rows("Topology")] == [7]
            assert "error" in fabric.transact(insert("Host", name="h9"), name="h1")[0]
        finally:
            database.stop()

    def writes_all(fabric: Fabric) -> None:
        assert fabric.rows("RBAC_Role") == fabric.rows("RBAC_Permission") == fabric.rows("Connection") == []
        assert "error" not in fabric.transact(insert("Host", name="h9"), name="h1")[0]

    def is_unchanged(fabric: Fabric) -> None:
        before = rows(fabric)
        fabric.server.stop()
        fabric.server.start()
        assert rows(fabric) == before, "the rights are not written again"
        assert "error" in fabric.transact(insert("Host", name="h8"), name="h1")[0]

    served(True, registers)
    served(False, writes_all)
    served(True, is_unchanged)


def test_an_address_that_is_in_use_ends_the_start(tmp_path: Path) -> None:
    """As without rights."""
    issued = IssuedCertificates(tmp_path / "pki")
    files = issued.identity("topology").files()
    connection = f"ssl:127.0.0.1:{free_tcp_port()}"
    first = EmbeddedServer(tmp_path / "s1", tmp_path / "r1", (connection,), files, host_rights=True)
    second = EmbeddedServer(tmp_path / "s2", tmp_path / "r2", (connection,), files, host_rights=True)
    first.start()
    try:
        with pytest.raises(TopologyError, match="Address already in use"):
            second.start()
    finally:
        second.stop()
        first.stop()


def test_a_member_starts_whose_file_names_the_address_of_another(tmp_path: Path) -> None:
    """Of the leader when it was written, or of the one host whose topology was moved to a cluster; it gets its own."""
    issued = IssuedCertificates(tmp_path / "pki")
    files = issued.identity("topology").files()
    lines = [f"{name} = {path}" for name, path in issued.identity("topology").options(host_rights="true").items()]
    source = tmp_path / "other.db"
    ovsdb_tool("create", source, SCHEMA)
    write_rights(source, ["pssl:6642:192.0.2.77"])
    member = TopologyHost(tmp_path / "m", *lines, scheme="ssl")
    member.command("create-cluster", "--from", str(source))
    database = TopologyDatabase(member.connection, issued.identity("h1").files())
    member.start()
    try:
        database.start()
        wait_until(lambda: database.connected, 20, "it is reached at its own address")
        second = EmbeddedServer(tmp_path / "s2", tmp_path / "r2", (member.connection,), files, host_rights=True)
        with pytest.raises(TopologyError, match="Address already in use"):
            second.start()
    finally:
        database.stop()
        member.stop()


def test_members_of_a_cluster_have_the_rights_too(tmp_path: Path) -> None:
    """They are written by the leader, where a file cannot be; and a relay refuses to be asked for them."""
    issued = IssuedCertificates(tmp_path / "pki")
    lines = [f"{name} = {path}" for name, path in issued.identity("topology").options(host_rights="true").items()]
    member = TopologyHost(tmp_path / "m", *lines, scheme="ssl")
    member.command("create-cluster")
    database = TopologyDatabase(member.connection, issued.identity("h1").files())
    member.start(process=True)
    try:
        database.start()
        wait_until(lambda: database.connected, 20, "the topology is there, by the address of the rights")
        assert database.register(host("h1"))
        create = [insert("Network", id=N1, network_type="local", name="n1", admin_state_up=True)]
        row = {"id": IDS["free"], "network": ["named-uuid", "newNetwork"], "mac_address": "fa:16:3e:00:00:01"}
        create.append(insert("Port", **row, status="DOWN", admin_state_up=True))

        def transact(*where: str) -> str:
            argv = ["ovsdb-client", *where, json.dumps([DATABASE, *create])]
            return subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout

        refused = transact(*issued.identity("h1").arguments(), "transact", member.connection)
        assert 'RBAC rules for client \\"h1\\" role' in refused
        assert "error" not in transact("transact", f"unix:{member.run}/topology.sock")
        report = [PortReport(IDS["free"], "h1", True, PortStatus.ACTIVE)]
        wait_until(lambda: database.report(report), 20, "the port is known, and asked for")
        wait_until(
            lambda: database.report([PortReport(IDS["free"], "h1", False, PortStatus.DOWN)]), 20, "it is granted"
        )
    finally:
        database.stop()
        member.stop()
    status, _, errors = member.attempt("relay", "--topology", "tcp:127.0.0.1:1")
    assert status == 1 and "[topology] host_rights" in errors


def written(change: Callable[[], int]) -> Callable[[], bool]:
    """Whether a change is in the database; it is made again where a leader went away, which may have written it."""
    has_gone = False

    def attempt() -> bool:
        nonlocal has_gone
        try:
            return bool(change()) or has_gone
        except TopologyUnavailable:
            has_gone = True
            return False

    return attempt


def listener(member: TopologyHost) -> int | None:
    """The process that listens at the address that a member has for clients; None: there is none."""
    port = member.connection.rpartition(":")[2]
    listing = subprocess.run(["ss", "-ltnpHO", f"sport = :{port}"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"pid=(\d+)", listing)
    return int(found[1]) if found else None


def leads_where_it_says(cluster: Cluster) -> bool:
    """Whether the leader listens at its address; who does so in its place is started again.

    Members listen where a row of the leader says. On a machine of its own none has that address but the leader; here
    each has it, and may be quicker.
    """
    leader = cluster.leader()
    pids = {other: int((other.state / "topology.pid").read_text()) for other in [leader, *cluster.followers()]}
    quicker = next((other for other in pids if pids[other] == listener(leader)), None)
    if quicker not in (None, leader):
        quicker.stop()
        wait_until(lambda: listener(leader) not in (None, pids[quicker]), 60, "the leader listens")
        quicker.start()
    return quicker is leader


def test_a_leader_that_dies_takes_no_rights_along_and_leaves_none(tmp_path: Path) -> None:
    """A host that follows what concerns it claims and gives up ports at each leader, and is refused the rest there."""
    issued = IssuedCertificates(tmp_path / "pki")
    lines = [f"{name} = {path}" for name, path in issued.identity("topology").options(host_rights="true").items()]
    attempts = [REFUSED[name] for name in ("create a network", "delete a port", "have a port requested for it")]
    create = [insert("Network", id=N1, network_type="local", name="n1", admin_state_up=True)]
    for number, name in enumerate(PORTS):
        row = {"id": IDS[name], "network": ["named-uuid", "newNetwork"], "mac_address": f"fa:16:3e:00:00:0{number}"}
        row |= {"status": "DOWN", "admin_state_up": True, **PORTS[name]}
        create.append({"op": "insert", "table": "Port", "row": row})

    def transact(operations: list[Row], *where: str) -> str:
        argv = ["ovsdb-client", *where, json.dumps([DATABASE, *operations])]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout

    with Cluster(3, None, *lines, scheme="ssl") as cluster:
        files = issued.identity("h1").files()
        database = TopologyDatabase(cluster.connection, files, scope=HostScope("h1"))
        database.follow(PortInterest({IDS["free"]: None}))
        database.start(lambda _: None)
        try:
            for turn in range(2):
                leader = cluster.leader()
                if turn == 0:
                    assert "error" not in transact(create, "transact", f"unix:{leader.run}/topology.sock")
                wait_until(lambda: leads_where_it_says(cluster) and database.connected, 60, "a leader is followed")
                this = replace(host("h1"), version=str(turn))
                wait_until(written(partial(database.register, this)), 60, "the host is registered")
                for claim, status in ((True, PortStatus.ACTIVE), (False, PortStatus.DOWN)):
                    for name in ("free", "mine"):
                        report = PortReport(IDS[name], "h1", claim, status)
                        wait_until(written(partial(database.report, [report])), 60, f"{report} is written")
                for attempt in attempts:
                    arguments = issued.identity("h1").arguments()
                    refused = transact(attempt, *arguments, "transact", leader.connection)
                    assert 'RBAC rules for client \\"h1\\" role' in refused, refused
                if turn == 0:
                    leader.kill()
        finally:
            database.stop()


def test_administrators_elsewhere_come_by_a_relay_that_trusts_them_alone(fabric: Fabric, tmp_path: Path) -> None:
    """It has all rights by the unix socket, and an authority of its own: a host's certificate opens no connection."""
    administrators = IssuedCertificates(tmp_path / "administrators")
    connection = f"ssl:127.0.0.1:{free_tcp_port()}"
    files = administrators.identity("relay").files()
    relay = RelayServer(tmp_path / "relay", fabric.server.connection, (connection,), files)
    relay.start()
    database = ResourceDatabase(connection, POLICY, administrators.identity("ann").files())
    try:
        database.start()
        wait_until(lambda: database.connected, 20, "the administrator is connected")
        wanted = RESOURCES["network"].read_create({"name": "by ann"})
        database.create(ADMIN, "network", [wanted])
        assert "by ann" in [row["name"] for row in fabric.rows("Network")]
        with pytest.raises(TopologyUnavailable):
            read_hosts(connection, 6.0, fabric.issued.identity("h1").files())
    finally:
        database.stop()
        relay.stop()
