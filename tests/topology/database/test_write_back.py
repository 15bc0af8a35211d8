"""What runs on hosts, back into an older copy of the topology."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.topology_database import TopologyDatabase
from topology.documents.apply import apply_document
from topology.documents.reader import load_document, parse_document
from topology.model import FixedIp, Host, Network, NetworkType, Port, Subnet
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.source import TopologyBatch, TopologyVersion, WriteBack

S1 = Subnet("00000000-0000-4000-8000-0000000000b1", "10.0.0.0/24")
S2 = Subnet("00000000-0000-4000-8000-0000000000b2", "10.1.0.0/24")
N1 = Network("00000000-0000-4000-8000-0000000000a1", NetworkType.GRE, 1, subnets=(S1,), name="web")
N2 = Network("00000000-0000-4000-8000-0000000000a2", NetworkType.GRE, 2)
P1 = Port("00000000-0000-4000-8000-0000000000c1", N1.id, "fa:16:3e:00:00:01", (FixedIp("10.0.0.5", S1.id),), host="h1")
P2 = Port("00000000-0000-4000-8000-0000000000c2", N2.id, "fa:16:3e:00:00:02", host="h1")
WANTED = WriteBack({N1.id: N1, N2.id: N2}, {P1.id: P1, P2.id: P2})
INSTANCE = "00000000-0000-4000-8000-0000000000f1"


class Follower:
    """A client, and all that it was told as one batch."""

    def __init__(self, connection: str) -> None:
        self.seen: TopologyBatch | None = None
        self.database = TopologyDatabase(connection)
        self.database.start(self._listen)

    def _listen(self, batch: TopologyBatch) -> None:
        self.seen = batch if self.seen is None else self.seen.merge(batch)

    @property
    def version(self) -> TopologyVersion | None:
        return self.seen.version if self.seen else None


@pytest.fixture
def follow(server: OvsdbServer) -> Iterator[Callable[[], Follower]]:
    followers: list[Follower] = []

    def follower() -> Follower:
        followers.append(Follower(server.connection))
        wait_until(lambda: followers[-1].seen, 10, "it is told")
        return followers[-1]

    yield follower
    for one in followers:
        one.database.stop()


def revision(server: OvsdbServer) -> int:
    [row] = server.rows("Topology", "revision")
    return int(row["revision"])


def ids(server: OvsdbServer, table: str) -> list[str]:
    return [str(row["id"]) for row in server.rows(table, "id")]


def test_each_change_of_what_should_exist_counts_and_no_other(server: OvsdbServer, tmp_path: Any) -> None:
    """A document that changes something and the deletion of a host do; what hosts report does not."""
    path = tmp_path / "document.yaml"
    database = TopologyDatabase(server.connection)
    seen: list[TopologyBatch] = []
    database.start(seen.append)
    try:
        wait_until(lambda: seen, 10, "it is told")
        assert seen[0].version is None
        database.register(Host("h1", instance=INSTANCE))
        assert revision(server) == 0
        for text, expected in (("web", 1), ("web", 1), ("db", 2)):
            path.write_text(f"networks:\n- name: {text}\n")
            document = load_document(path)
            policy = AllocationPolicy(NetworkType.GRE, ((1, 100),), {}, "fa:16:3e:00:00:00")
            apply_document(server.connection, document, policy, prune=False, dry_run=True)
            apply_document(server.connection, document, policy, prune=False, dry_run=False)
            assert revision(server) == expected
        database.heartbeat("h1")
        assert revision(server) == 2
        database.delete_host("h1")
        wait_until(lambda: seen[-1].version and seen[-1].version.revision == 3, 10, "followers are told")
    finally:
        database.stop()


def test_all_is_written_in_one_transaction_and_counts(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    """A follower is told objects equal to those that run, unclaimed, so that the host claims them."""
    me = follow()
    assert me.database.write_back(WANTED) == {}
    wait_until(lambda: me.version == TopologyVersion(me.version.database, 1) if me.version else None, 10, "counted")
    assert me.seen is not None
    assert me.seen.networks == WANTED.networks
    assert me.seen.ports == {id_: replace(port, host=None) for id_, port in WANTED.ports.items()}


def test_a_network_with_a_secured_port_secures_those_that_are_made_later(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """What the network said is not known to its hosts; one without such a port stays as a new one is."""
    me = follow()
    pair = ("10.0.0.9/32", "fa:16:3e:00:00:09")
    secured = replace(P1, port_security_enabled=True, allowed_prefixes=(pair,))
    assert me.database.write_back(WriteBack(WANTED.networks, {P1.id: secured, P2.id: P2})) == {}
    wait_until(lambda: me.seen and len(me.seen.ports) == 2, 60, "it is told")
    assert me.seen is not None
    restored = me.seen.ports[P1.id]
    assert restored is not None
    assert (restored.port_security_enabled, restored.allowed_prefixes) == (True, (pair,))
    document = {
        "networks": [
            {"id": N1.id, "ports": [{"name": "later", "fixed_ips": [{"ip_address": "10.0.0.7"}]}]},
            {"id": N2.id, "ports": [{"name": "open"}]},
        ]
    }
    policy = AllocationPolicy(NetworkType.GRE, ((1, 100),))
    apply_document(server.connection, parse_document(document), policy, prune=False, dry_run=False)
    ports = {row["name"]: row["port_security_enabled"] for row in server.rows("Port", "name", "port_security_enabled")}
    assert (ports["later"], ports["open"]) == (True, False)


def test_hosts_that_write_back_the_same_at_once_all_succeed(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """The network is written once, and each host's port."""
    followers = [follow() for _ in range(6)]
    ports = [Port(f"00000000-0000-4000-8000-0000000001{n:02}", N2.id, f"fa:16:3e:00:01:{n:02}") for n in range(6)]

    def write(pair: tuple[Follower, Port]) -> object:
        return pair[0].database.write_back(WriteBack({N2.id: N2}, {pair[1].id: pair[1]}))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(write, zip(followers, ports, strict=True))) == [{}] * 6
    assert ids(server, "Network") == [N2.id]
    assert ids(server, "Port") == [port.id for port in ports]


def test_the_identity_is_renewed_once(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    """By the first host that finds the content to be older; others count on, and nothing is lost by it."""
    one, other = follow(), follow()
    one.database.register(Host("h1", instance=INSTANCE))
    wait_until(lambda: one.version and other.version == one.version, 10, "both know it")
    assert one.version is not None
    old = one.version.database
    assert one.database.write_back(WriteBack({}, {}, renew=old)) == {}
    wait_until(lambda: one.version and one.version.database != old, 10, "it is another")
    renewed = one.version
    assert renewed.revision == 1
    assert other.database.write_back(WriteBack({N2.id: N2}, {}, renew=old)) == {}
    wait_until(lambda: one.version == TopologyVersion(renewed.database, 2), 10, "the same, one further")
    assert other.database.write_back(WriteBack({}, {}, renew=old)) == {}
    assert revision(server) == 2


def test_the_older_form_is_overwritten(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    """Segmentation id, subnets, MAC address and another host's claim."""
    network = ["named-uuid", "network"]
    server.write(
        *network_operations(N1.id, number=9, subnet_id=S1.id, cidr="10.0.0.0/16"),
        port_operation(P1.id, network, "fa:16:3e:00:00:99", host="h2", status="ACTIVE"),
    )
    me = follow()
    both = replace(N1, subnets=(S1, S2))
    assert me.database.write_back(WriteBack({N1.id: both}, {P1.id: P1})) == {}
    wait_until(lambda: me.version, 10, "it is told")
    assert me.seen is not None
    assert me.seen.networks == {N1.id: both}
    port = me.seen.ports[P1.id]
    assert port is not None and port.host is None
    assert (port.mac_address, port.fixed_ips) == (P1.mac_address, P1.fixed_ips)


def test_other_hosts_are_put_back_and_their_controllers_find_them_as_their_own(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """A row that is there stays as it is, and an address that another host has got is not taken from it."""
    h2 = Host("h2", ("192.0.2.2",), ("gre",), (("physnet1", "br-ex"),), INSTANCE, "1")
    h3, h4 = Host("h3", ("192.0.2.3",)), Host("h4", ("192.0.2.5",))
    server.write(
        {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "te", "row": {"ip_address": "192.0.2.3"}},
        {"op": "insert", "table": "Host", "row": {"name": "h9", "tunnel_endpoints": ["named-uuid", "te"]}},
        {"op": "insert", "table": "Host", "row": {"name": "h4"}},
    )
    me = follow()
    refused = me.database.write_back(WriteBack({}, {}, hosts={"h2": h2, "h3": h3, "h4": h4}))
    assert refused.keys() == {"h3"}
    assert "192.0.2.3 is of host h9" in refused["h3"]
    wait_until(lambda: me.seen and "h2" in me.seen.hosts, 10, "it is there")
    assert me.seen is not None
    assert me.seen.hosts == {"h2": h2, "h4": Host("h4"), "h9": Host("h9", ("192.0.2.3",))}
    assert not me.database.register(h2)


def _segment_taken(server: OvsdbServer) -> None:
    server.write(*network_operations("00000000-0000-4000-8000-0000000000a9", number=1))


def _subnet_taken(server: OvsdbServer) -> None:
    server.write(*network_operations("00000000-0000-4000-8000-0000000000a9", number=9, subnet_id=S1.id))


def _with_port(server: OvsdbServer, port_id: str, mac: str, address: str) -> None:
    allocation = {"subnet": ["named-uuid", "subnet"], "ip_address": address}
    server.write(
        *network_operations(N1.id, subnet_id=S1.id),
        {"op": "insert", "table": "IpAllocation", "uuid-name": "ip", "row": allocation},
        port_operation(port_id, ["named-uuid", "network"], mac, fixed_ips=["named-uuid", "ip"]),
    )


OTHER = "00000000-0000-4000-8000-0000000000c9"


@pytest.mark.parametrize(
    ("older", "refused"),
    [
        (_segment_taken, {N1.id: "provider:segmentation_id 1 is of network .*a9", P1.id: "its network .*a1 cannot"}),
        (_subnet_taken, {N1.id: "subnet .*b1 is of network .*a9", P1.id: "its network"}),
        (
            lambda on: _with_port(on, OTHER, P1.mac_address, "10.0.0.9"),
            {P1.id: "mac_address .* is of port .*c9"},
        ),
        (
            lambda on: _with_port(on, OTHER, "fa:16:3e:00:00:09", "10.0.0.5"),
            {P1.id: "10.0.0.5 is of port .*c9"},
        ),
        (lambda on: _with_port(on, P1.id, "bad", "10.0.0.5"), {P1.id: "breaks a rule"}),
    ],
    ids=["segmentation id", "subnet id", "MAC address", "IP address", "broken row"],
)
def test_what_the_older_content_has_given_away_stays_given_and_all_else_is_written(
    server: OvsdbServer,
    follow: Callable[[], Follower],
    older: Callable[[OvsdbServer], None],
    refused: dict[str, str],
) -> None:
    """Each refusal says whose it is there."""
    older(server)
    before = {table: set(ids(server, table)) for table in ("Network", "Port")}
    found = follow().database.write_back(WANTED)
    assert found.keys() == refused.keys()
    for id_, reason in refused.items():
        assert re.search(reason, found[id_])
    assert set(ids(server, "Network")) == before["Network"] | (WANTED.networks.keys() - refused.keys())
    assert set(ids(server, "Port")) == before["Port"] | (WANTED.ports.keys() - refused.keys())
