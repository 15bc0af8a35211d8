"""Hosts that name relays of a cluster: real controllers, and a port change reaches all that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import TopologyHost
from tests.support.rack import Rack, change, port_id, traffic
from tests.support.waiting import wait_until

FOREIGN = 20
"""Changes of ports of a network that no host has."""


@pytest.fixture(
    scope="module",
    params=[(3, 1, 2), pytest.param((40, 2, 40), marks=pytest.mark.long)],
    ids=["3 hosts, 1 relay", "40 hosts, 2 relays"],
)
def rack(request: pytest.FixtureRequest) -> Iterator[Rack]:
    """Hosts by relays; some follow what concerns them, some all of it."""
    hosts, relays, networks = request.param
    with Rack(hosts, relays, follow=["host", "all"], networks=networks) as found:
        yield found


def _tcp_port(server: TopologyHost) -> int:
    return int(server.connection.rpartition(":")[2])


def _wait_status(rack: Rack, status: str) -> None:
    """Wait until the port of each host has a status; its host alone writes it."""
    select = {"op": "select", "table": "Port", "where": [["status", "==", status]], "columns": ["id"]}
    wanted = {host.port for host in rack.hosts}
    with rack.writer() as reader:
        wait_until(
            lambda: wanted <= {row["id"] for row in reader.transact(select)[0]["rows"]}, 120, f"all are {status}"
        )


def _set_all(rack: Rack, *, up: bool) -> None:
    """Change the port of each host, and wait until each has followed."""
    with rack.writer() as writer:
        for host in rack.hosts:
            writer.transact(*change(host.port, admin_state_up=up))
    _wait_status(rack, "ACTIVE" if up else "DOWN")


def test_members_have_the_relays_alone(rack: Rack) -> None:
    """No controller has a connection to a member; each has one to a relay."""
    assert {host.server for host in rack.hosts} <= {relay.connection for relay in rack.relays}
    pids = [host.tunbridge.pid for host in rack.hosts]
    to_members = traffic(pids, map(_tcp_port, rack.cluster.members))
    to_relays = traffic(pids, map(_tcp_port, rack.relays))
    assert not any(one.received for one in to_members.values())
    assert all(one.received for one in to_relays.values())


def test_a_port_change_reaches_its_host(rack: Rack) -> None:
    """Down and up again, and what the host says of it reaches the members."""
    _set_all(rack, up=False)
    _set_all(rack, up=True)


def test_a_change_of_a_network_reaches_all_its_hosts(rack: Rack) -> None:
    """Another segmentation id is in the flows of each host with a port of it, and of no other."""
    number = 5000
    where = [["segmentation_id", "==", 1]]  # of the first network
    with rack.writer() as writer:
        operations = change(rack.hosts[0].port)[1:]
        row = {"segmentation_id": number}
        writer.transact({"op": "update", "table": "Segment", "where": where, "row": row}, *operations)
    concerned = [host for host in rack.hosts if int(host.port[-12:]) < rack.per_network]

    def flows() -> list[bool]:
        return [any(f"tun_id={number:#x}" in flow for flow in host.ovs.dump("br-tun")) for host in rack.hosts]

    wait_until(lambda: flows() == [host in concerned for host in rack.hosts], 120, "their hosts have other flows")
    _wait_status(rack, "ACTIVE")


def test_what_does_not_concern_a_host_is_not_told(rack: Rack) -> None:
    """Of a foreign port, who follows all has the row and is told of each change; the others of a new revision alone."""
    pids = [host.tunbridge.pid for host in rack.hosts]
    before, bytes_before = [host.rows()[1] for host in rack.hosts], traffic(pids)
    with rack.writer() as writer:
        for number in range(FOREIGN):
            writer.transact(*change(port_id(rack.ports - 1), name=f"changed {number}"))
    _set_all(rack, up=False)  # all that was said before has been followed then
    _set_all(rack, up=True)
    after = [host.rows() for host in rack.hosts]
    received = traffic(pids)
    print("follow  rows: all, told; KB")
    told: dict[str, list[int]] = {"host": [], "all": []}
    for host, earlier, (rows, later) in zip(rack.hosts, before, after, strict=True):
        told[host.follow].append(later - earlier)
        kilobytes = (received[host.tunbridge.pid] - bytes_before[host.tunbridge.pid]).received / 1e3
        print(f"{host.follow:<6} {rows:>10} {later - earlier:>5} {kilobytes:5.1f}")
        assert rows >= rack.ports if host.follow == "all" else rows < rack.ports
    assert max(told["host"]) + FOREIGN / 2 < min(told["all"])


def test_a_leader_is_lost_behind_them(rack: Rack) -> None:
    """Changes reach all hosts again, and what they write the next leader."""
    leader = rack.cluster.leader()
    leader.kill()
    _set_all(rack, up=False)
    leader.start()
    rack.cluster.wait_whole()
    _set_all(rack, up=True)


def test_a_relay_is_lost(rack: Rack) -> None:
    """Its hosts go to another one, or wait until it is back."""
    lost = rack.relays[0]
    lost.kill()
    if len(rack.relays) > 1:
        _set_all(rack, up=False)
        assert lost.connection not in {host.server for host in rack.hosts}
    lost.start("relay")
    _set_all(rack, up=False)
    _set_all(rack, up=True)
