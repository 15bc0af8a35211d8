"""Lists: filters, fields, order, pages; and the hosts as agents."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

Made = dict[str, Any]


@pytest.fixture(scope="module")
def ports(api: ApiProcess) -> list[Made]:
    """Six ports, p0 … p5, of two projects."""
    network = api.create("network", name="lists")["id"]
    api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    return [
        api.create(
            "port", network_id=network, name=f"p{at}", device_id=f"d{at // 2}", project_id="odd" if at % 2 else "even",
            admin_state_up=at != 3,
        )
        for at in range(6)
    ]  # fmt: skip


def names(api: ApiProcess, query: str) -> list[str]:
    return [port["name"] for port in api.get(f"/ports?{query}")["ports"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=p1", "1"),
        ("name=p1&name=p4", "14"),
        ("device_id=d1", "23"),
        ("device_id=d1&project_id=odd", "3"),
        ("tenant_id=even", "024"),
        ("admin_state_up=False", "3"),
        ("status=ACTIVE", ""),
        ("status=DOWN&name=p0", "0"),
        ("fixed_ips=ip_address=10.0.0.4", "2"),
        ("fixed_ips=ip_address_substr=0.0.3", "1"),
        ("fixed_ips=ip_address=10.0.0.4&fixed_ips=ip_address=10.0.0.5", "23"),
        ("fixed_ips=ip_address=10.0.0.4&fixed_ips=ip_address_substr=0.0.3", ""),
        ("fixed_ips=ip_address=10.0.0.4&fixed_ips=subnet_id=00000000-0000-4000-8000-000000000001", ""),
        ("name=", ""),
        ("id=00000000-0000-4000-8000-000000000001", ""),
        ("name=p1&device_id=d2", ""),
    ],
)
def test_filters(api: ApiProcess, ports: list[Made], query: str, expected: str) -> None:
    assert sorted(names(api, query)) == [f"p{at}" for at in expected]


def test_filters_by_what_identifies(api: ApiProcess, ports: list[Made]) -> None:
    port = ports[4]
    mac = port["mac_address"].upper()
    for query in (f"id={port['id']}", f"mac_address={mac}", f"network_id={port['network_id']}&name=p4"):
        assert names(api, query) == ["p4"]


def test_subnets_are_found_by_whether_their_network_is_shared(api: ApiProcess) -> None:
    """As in Neutron, whose subnets do not show it; what is shared later is found too."""
    made = {}
    for shared in (False, True):
        network = api.create("network", name="of-shares", shared=shared)["id"]
        subnet = api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4, name="of-shares")
        made[shared] = network, subnet["id"]
        assert "shared" not in subnet and "shared" not in api.get(f"/subnets/{subnet['id']}")["subnet"]

    def found(query: str) -> list[str]:
        subnets = api.get(f"/subnets?name=of-shares&{query}")["subnets"]
        assert not any("shared" in subnet for subnet in subnets)
        return [subnet["id"] for subnet in subnets]

    assert found("shared=false") == [made[False][1]]
    assert found("shared=True&fields=id&fields=shared") == [made[True][1]]
    assert found("sort_key=shared&sort_dir=desc") == [made[True][1], made[False][1]]
    api.update("network", made[False][0], shared=True)
    assert (found("shared=0"), len(found("shared=1"))) == ([], 2)
    answer = api.request("GET", "/v2.0/subnets?shared=maybe")
    assert (answer.status, answer.error) == (400, "HTTPBadRequest")


def test_fields(api: ApiProcess, ports: list[Made]) -> None:
    found = api.get("/ports?name=p1&fields=id&fields=name")["ports"]
    assert found == [{"id": ports[1]["id"], "name": "p1"}]
    assert api.get(f"/ports/{ports[1]['id']}?fields=name") == {"port": {"name": "p1"}}


def test_order(api: ApiProcess, ports: list[Made]) -> None:
    assert names(api, "sort_key=name&sort_dir=desc") == ["p5", "p4", "p3", "p2", "p1", "p0"]
    by_device = names(api, "sort_key=device_id&sort_key=name&sort_dir=desc&sort_dir=asc")
    assert by_device == ["p4", "p5", "p2", "p3", "p0", "p1"]


def test_pages(api: ApiProcess, ports: list[Made]) -> None:
    """Links lead through all pages and back, and nothing is there twice."""
    seen, path = [], "/ports?limit=4&sort_key=name"
    while path:
        page = api.get(path)
        seen.append([port["name"] for port in page["ports"]])
        links = {link["rel"]: urlsplit(link["href"]) for link in page["ports_links"]}
        path = f"/ports?{links['next'].query}" if "next" in links else ""
    assert seen == [["p0", "p1", "p2", "p3"], ["p4", "p5"]]
    assert names(api, links["previous"].query) == ["p0", "p1", "p2", "p3"]
    assert "ports_links" not in api.get("/ports")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "limit=4",
            {"next": "limit=4&sort_key=name&marker=3", "previous": "limit=4&sort_key=name&marker=0&page_reverse=True"},
        ),
        (
            "limit=6",
            {"next": "limit=6&sort_key=name&marker=5", "previous": "limit=6&sort_key=name&marker=0&page_reverse=True"},
        ),
        ("limit=7", {"previous": "limit=7&sort_key=name&marker=0&page_reverse=True"}),
        ("limit=4&marker=3", {"previous": "limit=4&sort_key=name&marker=4&page_reverse=True"}),
        ("limit=4&marker=5", {"previous": "limit=4&sort_key=name&page_reverse=True"}),
        ("limit=4&marker=2&page_reverse=True", {"next": "limit=4&sort_key=name&marker=1"}),
        ("limit=4&marker=0&page_reverse=True", {"next": "limit=4&sort_key=name"}),
        (
            "limit=2&page_reverse=True",
            {"next": "limit=2&sort_key=name&marker=5", "previous": "limit=2&sort_key=name&marker=4&page_reverse=True"},
        ),
        ("limit=0", {}),
    ],
)
def test_links_at_the_ends_are_those_of_neutron(
    api: ApiProcess, ports: list[Made], query: str, expected: dict[str, str]
) -> None:
    """A full page has both, another one the way that it was come from; see get_pagination_links of api_common.py."""
    ids = [port["id"] for port in ports]

    def with_ids(text: str) -> str:
        return re.sub("marker=([0-9])", lambda found: f"marker={ids[int(found[1])]}", text)

    limit, *rest = with_ids(query).split("&")
    page = api.get(f"/ports?{'&'.join([limit, 'sort_key=name', *rest])}")
    links = {link["rel"]: urlsplit(link["href"]).query for link in page.get("ports_links", ())}
    assert links == {rel: with_ids(text) for rel, text in expected.items()}


def test_what_nova_and_os_vif_ask_of_a_host(api: ApiProcess, database: OvsdbServer) -> None:
    """The type of its datapath, and the name of its bridge, as its controller has registered them."""
    port = api.create("port", network_id=api.create("network")["id"], **{"binding:host_id": "userspace"})
    plain = {"connectivity": "l2", "port_filter": False, "ovs_hybrid_plug": False}
    assert port["binding:vif_details"] == plain
    said = [["datapath_type", '"netdev"'], ["integration_bridge", '"br-x"'], ["description", '"mine"']]
    row = {"name": "userspace", "attributes": ["map", said]}
    database.write({"op": "insert", "table": "Host", "row": row})
    expected = {**plain, "datapath_type": "netdev", "bridge_name": "br-x"}
    path = f"/ports/{port['id']}"
    wait_until(lambda: api.get(path)["port"]["binding:vif_details"] == expected, 10, "the host is known")
    assert api.get(f"/ports?id={port['id']}")["ports"][0]["binding:vif_details"] == expected
    assert api.update("port", port["id"], name="x")["binding:vif_details"] == expected
    made = api.create("port", network_id=port["network_id"], **{"binding:host_id": "userspace"})
    assert made["binding:vif_details"] == expected
    unbound = api.create("port", network_id=port["network_id"])
    assert unbound["binding:vif_details"] == {}
    for broken in ("netdev", '["netdev"]', '"a\\nb"', '""'):
        change = {"op": "update", "table": "Host", "where": [["name", "==", "userspace"]]}
        database.write({**change, "row": {"attributes": ["map", [["datapath_type", broken]]]}})
        wait_until(lambda: api.get(path)["port"]["binding:vif_details"] == plain, 10, "nothing is said")
    agent = next(one for one in api.get("/agents")["agents"] if one["host"] == "userspace")
    api.delete("agent", agent["id"])


def test_a_host_is_an_agent(api: ApiProcess, database: OvsdbServer) -> None:
    """Whether it lives is told by its heartbeat, and one that is gone for good can be deleted."""
    api = api
    endpoint = {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "e", "row": {"ip_address": "192.0.2.1"}}
    row = {"name": "h1", "tunnel_endpoints": ["named-uuid", "e"], "tunnel_types": "gre"}
    seen = {"name": "h1", "last_seen": int(time.time() * 1000)}
    database.write(
        endpoint,
        {"op": "insert", "table": "Host", "row": row},
        {"op": "insert", "table": "HostState", "row": seen},
    )
    [agent] = wait_until(lambda: api.get("/agents?alive=true")["agents"], 10, "the host is there")
    assert (agent["host"], agent["binary"], agent["admin_state_up"]) == ("h1", "tunbridge", True)
    assert agent["configurations"]["tunneling_ip"] == "192.0.2.1"
    old = {"op": "update", "table": "HostState", "where": [["name", "==", "h1"]], "row": {"last_seen": 1000}}
    database.write(old)
    wait_until(lambda: not api.get(f"/agents/{agent['id']}")["agent"]["alive"], 10, "it is silent")
    api.delete("agent", agent["id"])
    api.get(f"/agents/{agent['id']}", 404)
    assert database.rows("Host", "name") == database.rows("HostState", "name") == []
