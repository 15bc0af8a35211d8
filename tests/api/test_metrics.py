"""``/metrics`` of an API process."""

from __future__ import annotations

import uuid
from typing import Any

import falcon
import falcon.testing
import pytest

from controller.network_api.identity.identity import Identity
from controller.network_api.metrics_page import MetricsPage
from controller.runtime.exposition import Exposition
from controller.status.metrics_catalogue import catalogue
from tests.support.host.metrics import Scrape
from tests.support.host.tunbridge import free_tcp_port
from tests.support.http.api_process import ApiProcess, Client
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.rules.access.policy import ADMIN, Caller, caller

REQUESTS = "tunbridge_api_requests_total"


def test_all_that_is_declared_is_told_and_nothing_else(api: ApiProcess) -> None:
    """Names, types and labels of what is exposed are those of the declarations, which the manual is held to."""
    api.get("/networks")
    scrape = Scrape(api.port)
    declared = [*catalogue()["process"], *catalogue()["api"]]
    assert scrape.types == {metric.name: metric.kind.value for metric in declared}
    assert scrape.labels == {metric.name: set(metric.labels) for metric in declared}


def test_requests_are_counted_by_route(api: ApiProcess) -> None:
    """A hundred ids, paths and methods that do not exist make no series of their own."""
    api = api
    for method, path in (("GET", "/v2.0/ports/x"), ("GET", "/nowhere"), ("BREW", "/v2.0/ports")):
        api.request(method, path)
    before = Scrape(api.port)
    for number in range(20):
        assert api.request("GET", f"/v2.0/ports/{uuid.uuid4()}").status == 404
        assert api.request("GET", f"/nowhere/{number}").status == 404
        assert api.request(f"BREW{number}", "/v2.0/ports").status == 400
    assert api.request("POST", "/v2.0/ports", headers={"Transfer-Encoding": "chunked"}).status == 411
    after = Scrape(api.port)

    def more(**labels: str) -> float:
        return after.value(REQUESTS, **labels) - before.value(REQUESTS, **labels)

    assert more(method="GET", route="/v2.0/ports/{object_id}", status="404") == 20
    assert more(method="GET", route="", status="404") == 20
    assert more(method="other", route="/v2.0/ports", status="400") == 20
    assert more(method="POST", route="", status="411") == 1
    new = {series for series in after.series.keys() - before.series.keys() if dict(series[1]).get("method") != "POST"}
    assert {dict(labels).get("route") for _, labels in new} <= {"/metrics"}
    count = "tunbridge_api_request_duration_seconds_count"
    ids = {"method": "GET", "route": "/v2.0/ports/{object_id}"}
    assert after.value(count, **ids) == before.value(count, **ids) + 20


def test_what_is_in_the_topology(api: ApiProcess) -> None:
    """Objects by kind, ports by status, changes made."""
    before = Scrape(api.port)
    network = api.create("network")
    api.create("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    ports = [api.create("port", network_id=network["id"]) for _ in range(3)]
    api.delete("port", ports[0]["id"])
    after = Scrape(api.port)
    for kind, more in (("network", 1), ("subnet", 1), ("port", 2)):
        assert (
            after.value("tunbridge_api_objects", kind=kind) == before.value("tunbridge_api_objects", kind=kind) + more
        )
    assert after.value("tunbridge_api_ports", status="DOWN") == before.value("tunbridge_api_ports", status="DOWN") + 2
    made = "tunbridge_api_topology_transactions_total"
    assert after.value(made) == before.value(made) + 6
    assert after.value("tunbridge_api_connections") >= 1


def test_an_address_of_its_own_and_an_outage(stopped_database: OvsdbServer) -> None:
    """``[metrics] listen_port`` serves metrics and nothing else, also while the topology is away."""
    database = stopped_database.start()
    port = free_tcp_port()
    with ApiProcess(database.connection, options={"metrics": {"listen_port": port}}):
        own = Client(port)
        assert own.request("GET", "/v2.0/networks").status == 404
        assert own.request("POST", "/metrics").status == 405
        assert Scrape(port).value("tunbridge_api_topology_connected") == 1
        assert Scrape(port).value(REQUESTS, method="GET", route="/v2.0/networks", status="404") == 0
        database.kill()
        scrape = wait_until(
            lambda: one if not (one := Scrape(port)).value("tunbridge_api_topology_connected") else None,
            20, "the outage is told",
        )  # fmt: skip
        assert scrape is not None
        assert "tunbridge_api_objects" not in scrape.types


@pytest.mark.parametrize(
    ("address", "local", "status"),
    [
        ("127.0.0.1", True, 200),
        ("127.8.8.8", True, 200),
        ("::1", True, 200),
        ("::ffff:127.0.0.1", True, 200),
        ("192.0.2.1", True, 403),
        ("2001:db8::1", True, 403),
        ("fe80::1%eth0", True, 403),
        ("192.0.2.1", False, 200),
    ],
)
def test_other_machines(address: str, local: bool, status: int) -> None:
    """At the API's address only this machine reads what is told of all projects."""
    assert asked(ADMIN, address, local) == status


def test_other_people() -> None:
    """And of those only administrators do; at an address of its own whoever can connect."""
    ann = caller("ann", "demo", ["member"])
    assert asked(ann, "127.0.0.1", True) == 403
    assert asked(ann, "127.0.0.1", False) == 200


def asked(who: Caller, address: str, local: bool) -> int:
    application: falcon.App[Any, Any] = falcon.App(middleware=[Identity(lambda _: who, ())])
    application.add_route("/metrics", MetricsPage(Exposition(), local=local))
    client = falcon.testing.TestClient(application)
    return client.simulate_get("/metrics", remote_addr=address).status_code
