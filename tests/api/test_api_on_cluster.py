"""Two API processes on a cluster whose leaders are killed: what was acknowledged is there, once."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, dump
from tests.support.http.api_process import ApiProcess
from tests.support.waiting import wait_until

CONFIRMED, NOT_DONE, PERHAPS = 201, 503, 504
"""What an API may answer: done; not done; nobody knows, as the connection was lost before the answer."""


class Creator:
    """Makes ports, one after the other, and deletes every third again.

    :param name: that the names of its ports begin with
    """

    def __init__(self, api: ApiProcess, network: str, name: str) -> None:
        self._api, self._network, self._name = api, network, name
        self.made: dict[str, str] = {}
        self.perhaps: set[str] = set()
        self.deleted: set[str] = set()
        self.refused = 0
        self.last_made = 0.0
        self.unforeseen: list[object] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        """Stop, when the request under way is answered."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            name = f"{self._name}{number}"
            answer = self._api.request("POST", "/v2.0/ports", {"port": {"network_id": self._network, "name": name}})
            if answer.status == CONFIRMED:
                self.made[name] = answer.json["port"]["id"]
                self.last_made = time.monotonic()
                if number % 3 == 0:
                    self._delete(name)
            elif answer.status == PERHAPS:
                self.perhaps.add(name)
            elif answer.status == NOT_DONE:
                self.refused += 1
                self._ended.wait(0.05)
            else:
                self.unforeseen.append((answer.status, answer.json))

    def _delete(self, name: str) -> None:
        status = self._api.request("DELETE", f"/v2.0/ports/{self.made[name]}").status
        if status == 204:
            self.deleted.add(name)
        elif status == PERHAPS:
            self.perhaps.add(name)


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
        creators = [Creator(api, network, name) for api, name in ((one, "a"), (other, "b"))]
        took = []
        try:
            for _ in range(kills):
                leader = cluster.leader()
                _wait_made_since(creators, time.monotonic())
                leader.kill()
                killed = time.monotonic()
                _wait_made_since(creators, killed)
                took.append(max(creator.last_made for creator in creators) - killed)
                leader.start()
                cluster.wait_whole()
        finally:
            for creator in creators:
                creator.end()
        ports = [row for row in dump(cluster.leader().connection)["Port"] if row["name"][0] in "ab"]
        rows = [row for row in ports if row["id"] in _ids_of(one, network)]
    print(f"changes are taken again after {statistics.median(took):.1f} s at the median, {max(took):.1f} s at most")
    made = sum(len(creator.made) for creator in creators)
    print(f"{made} made, {sum(len(creator.perhaps) for creator in creators)} perhaps", end=", ")
    print(f"{sum(creator.refused for creator in creators)} refused")
    assert not [unforeseen for creator in creators for unforeseen in creator.unforeseen]
    there = Counter(row["name"] for row in rows)
    assert max(there.values()) == 1
    for creator in creators:
        known = creator.made.keys() - creator.perhaps
        assert known - creator.deleted <= there.keys()
        assert not (creator.deleted & there.keys())
    allowed = {name for creator in creators for name in creator.made.keys() | creator.perhaps}
    assert there.keys() <= allowed
    for column in ("id", "mac_address", "fixed_ips"):
        assert max(Counter(str(row[column]) for row in rows).values()) == 1
    addresses = [row["ip_address"] for row in dump(cluster.leader().connection)["IpAllocation"]]
    assert len(addresses) == len(ports)


def _ids_of(api: ApiProcess, network: str) -> set[str]:
    return {port["id"] for port in api.get(f"/ports?network_id={network}&fields=id")["ports"]}


def _wait_made_since(creators: list[Creator], moment: float) -> None:
    """Each has made one."""
    wait_until(lambda: all(creator.last_made > moment for creator in creators), 60, "each API makes a port")
