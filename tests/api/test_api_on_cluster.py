"""Two API processes on a cluster whose leaders are killed: what was acknowledged is there, once."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, dump
from tests.support.host.metrics import Scrape
from tests.support.http.api_process import ApiProcess
from tests.support.http.event_reader import EventReader
from tests.support.http.port_creator import CONFIRMED, PortCreator, check_answers, told
from tests.support.http.receiver import Receiver
from tests.support.waiting import wait_until
from topology.database.tables import DATABASE


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three members."""
    with Cluster() as three:
        yield three


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(cluster: Cluster, kills: int) -> None:
    """However often the leader is killed: no port, name, MAC address or IP address."""
    with ApiProcess(cluster.connection) as one, ApiProcess(cluster.connection) as other:
        network = one.create("network", name=f"n{kills}")["id"]
        one.create("subnet", network_id=network, ip_version=4, cidr="10.0.0.0/16")
        creators = [PortCreator(api, network, name) for api, name in ((one, "a"), (other, "b"))]
        took = []
        try:
            for _ in range(kills):
                leader = cluster.leader()
                _wait_made_since(creators, time.monotonic())
                leader.kill()
                killed = time.monotonic()
                took.append(max(_wait_made_since(creators, killed)) - killed)
                leader.start()
                cluster.wait_whole()
        finally:
            for creator in creators:
                creator.end()
        ports = [row for row in dump(cluster.leader().connection)["Port"] if row["name"][0] in "ab"]
        rows = [row for row in ports if row["id"] in _ids_of(one, network)]
    print(f"changes are taken again after {statistics.median(took):.1f} s at the median, {max(took):.1f} s at most")
    print(told(creators))
    check_answers(creators, rows)
    addresses = [row["ip_address"] for row in dump(cluster.leader().connection)["IpAllocation"]]
    assert len(addresses) == len(ports)


def _ids_of(api: ApiProcess, network: str) -> set[str]:
    return {port["id"] for port in api.get(f"/ports?network_id={network}&fields=id")["ports"]}


def _wait_made_since(creators: list[PortCreator], moment: float) -> list[float]:
    """Each has made one that it asked for after a moment; when."""

    def made() -> list[float]:
        found = [creator.done_since(moment) for creator in creators]
        return [when for when in found if when is not None] if None not in found else []

    return wait_until(made, 60, "each API makes a port")


def test_events_are_told_once_whoever_leads(cluster: Cluster) -> None:
    """By one of two API processes, as the lock is the leader's: none is lost and none is told again by the next.

    And to whoever reads the event stream of either of them.
    """
    with (
        Receiver() as receiver,
        ApiProcess(cluster.connection, options={"notifications": {"url": receiver.url}}) as one,
        ApiProcess(cluster.connection, options={"notifications": {"url": receiver.url}}) as other,
    ):
        network = one.create("network", name="told")["id"]
        body = {"port": {"network_id": network, "device_owner": "compute:nova", "device_id": str(uuid.uuid4())}}
        ports: list[str] = []
        readers = [EventReader(api) for api in (one, other)]

        def report(status: str) -> None:
            where = [["id", "==", ports[-1]]]
            update = {"op": "update", "table": "Port", "where": where, "row": {"status": status}}
            argv = ["ovsdb-client", "--timeout=60", "transact", cluster.sockets, json.dumps([DATABASE, update])]
            subprocess.run(argv, check=True, capture_output=True)

        def made() -> bool:
            answer = other.request("POST", "/v2.0/ports", body)
            if answer.status == CONFIRMED:
                ports.append(answer.json["port"]["id"])
            return answer.status == CONFIRMED

        def all_told(*names: str) -> bool:
            return all([name for name, _ in receiver.told(port)] == list(names) for port in ports)

        def nothing_due() -> bool:
            pending = [Scrape(api.port).value("tunbridge_api_notifications_pending") for api in (one, other)]
            return sum(pending) == 0

        for _ in range(2):
            wait_until(made, 60, "a port is made")
            report("ACTIVE")
            wait_until(lambda: all_told("plugged"), 60, lambda: f"each is told: {receiver.accepted}")
            wait_until(nothing_due, 60, "it is written that they were told")
            leader = cluster.leader()
            leader.kill()
            wait_until(made, 60, "another member takes changes")
            report("ACTIVE")
            wait_until(lambda: all_told("plugged"), 60, lambda: f"each is told: {receiver.accepted}")
            leader.start()
            cluster.wait_whole()
        wait_until(made, 60, "one more is made, after which nothing else may be told")
        report("ACTIVE")
        wait_until(lambda: all_told("plugged"), 60, lambda: f"each is told: {receiver.accepted}")
        wait_until(nothing_due, 60, "nothing is due")
        assert len(receiver.requests) == len(ports), receiver.requests
        for reader in readers:
            reader.wait("port-status", port=ports[-1], port_status="ACTIVE")
            reader.close()
            told = [(one.event, one.data["fields"].get("port")) for one in reader.messages]
            for event in ("port-created", "port-status"):
                assert [told.count((event, port)) for port in ports] == [1] * len(ports)
            assert not {"gap", "port-deleted", "network-deleted"} & set(reader.events())
