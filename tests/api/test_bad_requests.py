"""What is wrong is refused with the status and the type of error that Neutron has for it, and changes nothing."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

import pytest

from tests.support.http.api_process import ApiProcess, Client
from tests.topology.ovsdb import OvsdbServer

NOBODY = "00000000-0000-4000-8000-0000000000ff"
LONG = "x" * 256


class World(NamedTuple):
    """What is there: a network with two subnets and two ports."""

    api: Client
    names: dict[str, str]
    document: Any

    def documented(self, method: str, path: str) -> set[str]:
        """Statuses that the OpenAPI document has for a method of a path below /v2.0."""
        collection, _, one = path.partition("?")[0].partition("/")
        template = f"/v2.0/{collection}/{{object_id}}" if one else f"/v2.0/{collection}"
        return set(self.document["paths"][template][method.lower()]["responses"])

    def fill(self, text: Any) -> Any:
        """Put ids in the place of ``{names}``."""
        if isinstance(text, dict):
            return {key: self.fill(value) for key, value in text.items()}
        if isinstance(text, list):
            return [self.fill(value) for value in text]
        return text.format(**self.names) if isinstance(text, str) else text


@pytest.fixture(scope="module")
def world(api: ApiProcess) -> World:
    api = api
    net = api.create("network", name="net", **{"provider:segmentation_id": 77})["id"]
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "p", "provider:segmentation_id": 7}
    names = {"net": net, "vlan": api.create("network", **vlan)["id"]}
    for name, cidr in (("four", "10.0.0.0/24"), ("tiny", "10.0.1.0/30")):
        names[name] = api.create("subnet", network_id=net, cidr=cidr, ip_version=4)["id"]
    slaac = {"cidr": "2001:db8::/64", "ip_version": 6, "ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
    names["six"] = api.create("subnet", network_id=net, **slaac)["id"]
    gateway = [{"ip_address": "10.0.0.1"}]
    router = {"device_owner": "network:router_interface", "mac_address": "fa:16:3e:00:00:01", "fixed_ips": gateway}
    names["gateway"] = api.create("port", network_id=net, **router)["id"]
    names["port"] = api.create("port", network_id=net, fixed_ips=[{"subnet_id": names["tiny"]}])["id"]
    return World(api, names, api.request("GET", "/openapi.json").json)


POST, PUT, DELETE, GET = "POST", "PUT", "DELETE", "GET"
NET = {"network_id": "{net}"}
FOUR = {**NET, "ip_version": 4}


def nested(levels: int) -> Any:
    """So many dictionaries and lists in one another."""
    value: Any = {}
    for level in range(levels - 1):
        value = {"a": value} if level % 2 or level == levels - 2 else [value]
    return value


CASES: list[tuple[str, str, Any, int, str, str]] = [
    # attributes
    (POST, "networks", {"name": 5}, 400, "HTTPBadRequest", "Invalid input for name"),
    (POST, "networks", {"name": LONG}, 400, "HTTPBadRequest", "exceeds maximum length of 255"),
    (POST, "networks", {"name": "a\0b"}, 400, "HTTPBadRequest", "Invalid input for name"),
    (POST, "networks", {"color": "red"}, 400, "HTTPBadRequest", "Unrecognized attribute(s) 'color'"),
    (POST, "networks", {"id": NOBODY}, 400, "HTTPBadRequest", "Attribute 'id' not allowed in POST"),
    (POST, "networks", {"status": "DOWN"}, 400, "HTTPBadRequest", "Attribute 'status' not allowed in POST"),
    (POST, "networks", {"admin_state_up": "maybe"}, 400, "HTTPBadRequest", "not a valid boolean"),
    (POST, "networks", {"mtu": 10}, 400, "HTTPBadRequest", "Invalid input for mtu"),
    (POST, "networks", {"mtu": True}, 400, "HTTPBadRequest", "Invalid input for mtu"),
    (POST, "networks", {"mtu": 1455}, 400, "InvalidInput", "Requested MTU is too big, maximum is 1454"),
    (PUT, "networks/{net}", {"mtu": 9000}, 400, "InvalidInput", "Requested MTU is too big, maximum is 1454"),
    (PUT, "networks/{net}", {"mtu": 1279}, 409, "NetworkMTUSubnetConflict", "subnet requires a minimum of 1280"),
    (POST, "networks", {"port_security_enabled": "maybe"}, 400, "HTTPBadRequest", "not a valid boolean"),
    (PUT, "networks/{net}", {"port_security_enabled": None}, 400, "HTTPBadRequest", "not a valid boolean"),
    (PUT, "ports/{port}", {"port_security_enabled": "2"}, 400, "HTTPBadRequest", "not a valid boolean"),
    (POST, "networks", {"project_id": "a", "tenant_id": "b"}, 400, "HTTPBadRequest", "do not match"),
    (POST, "networks", {"security_groups": []}, 400, "HTTPBadRequest", "Unrecognized attribute"),
    (POST, "networks", [], 400, "HTTPBadRequest", "not a dictionary"),
    # provider attributes
    (POST, "networks", {"provider:network_type": "token"}, 400, "HTTPBadRequest", "provider:network_type"),
    (POST, "networks", {"provider:segmentation_id": 77}, 409, "TunnelIdInUse", "77 is in use"),
    (POST, "networks", {"provider:network_type": "vxlan", "provider:segmentation_id": 2**24}, 400, "HTTPBadRequest",
     "not in 1..16777215"),
    (POST, "networks", {"provider:network_type": "vlan", "provider:physical_network": "p",
                        "provider:segmentation_id": 7}, 409, "VlanIdInUse", "VLAN 7"),
    (POST, "networks", {"provider:network_type": "vlan", "provider:physical_network": "p"}, 409, "NoNetworkAvailable",
     "no segmentation id is left"),
    (POST, "networks", {"provider:network_type": "flat"}, 400, "HTTPBadRequest", "provider:physical_network"),
    (POST, "networks", {"provider:physical_network": "p"}, 400, "HTTPBadRequest", "provider:physical_network"),
    (PUT, "networks/{net}", {"provider:segmentation_id": 78}, 400, "InvalidInput", "does not support updating"),
    (PUT, "networks/{net}", {"id": NOBODY}, 400, "HTTPBadRequest", "not allowed in PUT"),
    (PUT, "networks/{net}", {"project_id": "x"}, 400, "HTTPBadRequest", "not allowed in PUT"),
    (PUT, "networks/{net}", {"revision_number": 9}, 400, "HTTPBadRequest", "not allowed in PUT"),
    # there is none, or it is in use
    (GET, "networks/" + NOBODY, None, 404, "NetworkNotFound", NOBODY),
    (GET, "ports/not-an-id", None, 404, "PortNotFound", "not-an-id"),
    (PUT, "subnets/" + NOBODY, {"name": "x"}, 404, "SubnetNotFound", NOBODY),
    (DELETE, "ports/" + NOBODY, None, 404, "PortNotFound", NOBODY),
    (DELETE, "networks/{net}", None, 409, "NetworkInUse", "ports still in use"),
    (DELETE, "subnets/{tiny}", None, 409, "SubnetInUse", "IP allocation"),
    # subnets
    (POST, "subnets", {"cidr": "10.9.0.0/24", "ip_version": 4}, 400, "HTTPBadRequest", "'network_id' not specified"),
    (POST, "subnets", {**FOUR}, 400, "HTTPBadRequest", "'cidr' not specified"),
    (POST, "subnets", {**NET, "cidr": "10.9.0.0/24"}, 400, "HTTPBadRequest", "'ip_version' not specified"),
    (POST, "subnets", {"network_id": NOBODY, "ip_version": 4, "cidr": "10.9.0.0/24"}, 404, "NetworkNotFound", NOBODY),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.1"}, 400, "HTTPBadRequest", "is not a CIDR"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.1/33"}, 400, "HTTPBadRequest", "is not a CIDR"),
    (POST, "subnets", {**NET, "ip_version": 6, "cidr": "fe80::1%eth0/64"}, 400, "HTTPBadRequest", "is not a CIDR"),
    (POST, "subnets", {**FOUR, "cidr": "ten"}, 400, "HTTPBadRequest", "is not a CIDR"),
    (POST, "subnets", {**FOUR, "cidr": "2001:db8:9::/64"}, 400, "HTTPBadRequest", "IP version 4"),
    (POST, "subnets", {**NET, "ip_version": 5, "cidr": "10.9.0.0/24"}, 400, "HTTPBadRequest", "ip_version"),
    (POST, "subnets", {**FOUR, "cidr": "10.0.0.128/25"}, 400, "InvalidInput", "overlaps with another subnet"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "gateway_ip": "10.8.0.1"}, 400, "HTTPBadRequest", "not valid on"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "gateway_ip": "10.9.0.255"}, 400, "HTTPBadRequest", "not valid"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.9", "end": "10.9.0.2"}]},
     400, "InvalidAllocationPool", "not valid"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.9", "end": "10.9.1.2"}]},
     400, "OutOfBoundsAllocationPool", "spans beyond"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.1", "end": "10.9.0.9"}]},
     409, "GatewayConflictWithAllocationPools", "10.9.0.1 conflicts"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "allocation_pools": [
        {"start": "10.9.0.2", "end": "10.9.0.9"}, {"start": "10.9.0.9", "end": "10.9.0.11"}]},
     409, "OverlappingAllocationPools", "overlapping"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.2"}]}, 400,
     "HTTPBadRequest", "lacks the key 'end'"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "dns_nameservers": ["2001:db8::1"]}, 400, "HTTPBadRequest",
     "does not match the ip_version"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "dns_nameservers": ["a"]}, 400, "HTTPBadRequest", "not an IP"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "host_routes": [{"destination": "10.0.0.0/8"}]}, 400,
     "HTTPBadRequest", "lacks the key 'nexthop'"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "HTTPBadRequest", "IPv6 subnets"),
    (POST, "subnets", {**NET, "ip_version": 6, "cidr": "2001:db8:9::/80", "ipv6_address_mode": "slaac"}, 400,
     "HTTPBadRequest", "/64 only"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.0/31"}, 400, "InvalidInput", "incompatible with DHCP"),
    (POST, "subnets", {**FOUR, "cidr": "10.9.0.1/32", "gateway_ip": None}, 400, "InvalidInput", "incompatible with"),
    (POST, "subnets", {**NET, "ip_version": 6, "cidr": "2001:db8:9::2/127"}, 400, "InvalidInput", "incompatible with"),
    (POST, "subnets", {**FOUR, "cidr": "224.0.0.0/24"}, 400, "InvalidInput", "not those of hosts"),
    (POST, "subnets", {**FOUR, "cidr": "127.0.0.0/8"}, 400, "InvalidInput", "not those of hosts"),
    (POST, "subnets", {**FOUR, "cidr": "0.0.0.0/29"}, 400, "InvalidInput", "not those of hosts"),
    (POST, "subnets", {**NET, "ip_version": 6, "cidr": "2001:db8:9::/64", "ipv6_ra_mode": "slaac",
                       "enable_dhcp": False}, 400, "InvalidInput", "cannot be set when enable_dhcp is set to False"),
    (POST, "subnets", {**NET, "ip_version": 6, "cidr": "2001:db8:9::/64", "ipv6_address_mode": "dhcpv6-stateful",
                       "enable_dhcp": False}, 400, "InvalidInput", "cannot be set when enable_dhcp is set to False"),
    (PUT, "subnets/{six}", {"enable_dhcp": False}, 400, "InvalidInput", "cannot be set when enable_dhcp"),
    (PUT, "subnets/{four}", {"cidr": "10.9.0.0/24"}, 400, "HTTPBadRequest", "not allowed in PUT"),
    (PUT, "subnets/{four}", {"gateway_ip": "10.0.0.254"}, 409, "GatewayConflictWithAllocationPools", "conflicts"),
    (PUT, "subnets/{four}", {"gateway_ip": None}, 409, "GatewayIpInUse", "10.0.0.1 already in use"),
    # ports
    (POST, "ports", {}, 400, "HTTPBadRequest", "'network_id' not specified"),
    (POST, "ports", {"network_id": NOBODY}, 404, "NetworkNotFound", NOBODY),
    (POST, "ports", {"network_id": "x"}, 400, "HTTPBadRequest", "is not a UUID"),
    (POST, "ports", {**NET, "mac_address": "fa:16:3e:00:00:01"}, 409, "MacAddressInUse", "fa:16:3e:00:00:01 is in use"),
    (POST, "ports", {**NET, "mac_address": "01:00:5e:00:00:01"}, 400, "HTTPBadRequest", "multicast"),
    (POST, "ports", {**NET, "fixed_ips": [{"ip_address": "10.0.0.1"}]}, 409, "IpAddressAlreadyAllocated", "10.0.0.1"),
    (POST, "ports", {**NET, "fixed_ips": [{"ip_address": "192.0.2.1"}]}, 400, "InvalidIpForNetwork", "any of the"),
    (POST, "ports", {**NET, "fixed_ips": [{"ip_address": "10.0.0.2", "subnet_id": "{tiny}"}]}, 400,
     "InvalidIpForSubnet", "10.0.0.2"),
    (POST, "ports", {**NET, "fixed_ips": [{"ip_address": "10.0.0.255"}]}, 400, "InvalidIpForSubnet", "10.0.0.255"),
    (POST, "ports", {**NET, "fixed_ips": [{"subnet_id": NOBODY}]}, 400, "HTTPBadRequest", "invalid subnet"),
    (POST, "ports", {**NET, "fixed_ips": [{"subnet_id": "{tiny}"}]}, 409, "IpAddressGenerationFailureForSubnet", "No"),
    (POST, "ports", {**NET, "fixed_ips": [{"ip_address": "2001:db8::5"}]}, 400, "AllocationOnAutoAddressSubnet",
     "automatic"),
    (POST, "ports", {**NET, "fixed_ips": [{}]}, 400, "HTTPBadRequest", "neither"),
    (POST, "ports", {**NET, "fixed_ips": "10.0.0.9"}, 400, "HTTPBadRequest", "is not a list"),
    (POST, "ports", {**NET, "allowed_address_pairs": [{"ip_address": "x"}]}, 400, "HTTPBadRequest", "not an IP"),
    (POST, "ports", {**NET, "binding:vnic_type": "direct"}, 400, "HTTPBadRequest", "binding:vnic_type"),
    (POST, "ports", {**NET, "binding:profile": [1]}, 400, "HTTPBadRequest", "is not a dictionary"),
    (PUT, "ports/{port}", {"binding:profile": {"a": "\ud800"}}, 400, "HTTPBadRequest", "JSON has no form for"),
    (PUT, "ports/{port}", {"binding:profile": {"\udc00\ud800": 1}}, 400, "HTTPBadRequest", "JSON has no form for"),
    (PUT, "ports/{port}", {"binding:profile": nested(17)}, 400, "HTTPBadRequest", "nested deeper than 16 levels"),
    (PUT, "ports/{port}", {"binding:profile": nested(31)}, 400, "HTTPBadRequest", "nested deeper than 32 levels"),
    (PUT, "ports/{port}", {"name": nested(200)}, 400, "HTTPBadRequest", "nested deeper than 32 levels"),
    (POST, "networks", nested(200), 400, "HTTPBadRequest", "nested deeper than 32 levels"),
    (PUT, "ports/{port}", {"mac_address": "fa:16:3e:00:00:01"}, 409, "MacAddressInUse", "in use"),
    (PUT, "ports/{port}", {"fixed_ips": [{"ip_address": "10.0.0.1"}]}, 409, "IpAddressAlreadyAllocated", "10.0.0.1"),
    (PUT, "ports/{port}", {"network_id": "{vlan}"}, 400, "HTTPBadRequest", "not allowed in PUT"),
    (PUT, "ports/{port}", {"binding:vif_type": "ovs"}, 400, "HTTPBadRequest", "not allowed in PUT"),
    # lists
    (GET, "ports?color=red", None, 400, "HTTPBadRequest", "invalid attribute for filtering"),
    (GET, "ports?admin_state_up=perhaps", None, 400, "HTTPBadRequest", "not a valid boolean"),
    (GET, "ports?limit=-1", None, 400, "HTTPBadRequest", "Limit"),
    (GET, "ports?marker=" + NOBODY, None, 400, "HTTPBadRequest", "marker"),
    (GET, "ports?sort_key=fixed_ips", None, 400, "HTTPBadRequest", "sort keys"),
    (GET, "ports?sort_key=name&sort_dir=up", None, 400, "HTTPBadRequest", "sort_dir"),
    (GET, "ports?fixed_ips=color=red", None, 400, "HTTPBadRequest", "fixed_ips"),
]  # fmt: skip


def _dump(server: OvsdbServer) -> list[Any]:
    tables = {"Network": "id", "Subnet": "id", "Port": "id", "IpAllocation": "ip_address", "Segment": "segmentation_id"}
    rows = [server.rows(table, key, *extra) for table, key in tables.items() for extra in [_CHANGING.get(table, [])]]
    return [rows, server.rows("Topology", "revision")]


_CHANGING = {table: ["name", "attributes"] for table in ("Network", "Subnet", "Port")}


@pytest.mark.parametrize(("method", "path", "values", "status", "kind", "message"), CASES)
def test_refused(
    world: World, database: OvsdbServer, method: str, path: str, values: Any, status: int, kind: str, message: str
) -> None:
    """With the documented status, type and a message that says what is wrong; the database is as it was."""
    before = _dump(database)
    body = None if values is None else {path.partition("/")[0][:-1]: world.fill(values)}
    answer = world.api.request(method, f"/v2.0/{world.fill(path)}", body)
    assert (answer.status, answer.error) == (status, kind), answer.json
    assert str(status) in world.documented(method, path)
    assert message in answer.message
    assert set(answer.json["NeutronError"]) == {"type", "message", "detail"}
    assert _dump(database) == before


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"network": {}, "x": 1}', {}, 400),
        (b'{"networks": []}', {}, 400),
        (b'{"network": {"mtu": NaN}}', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"network": {}}', {"Content-Type": "text/plain"}, 415),
        (b'{"network": {}}', {"Content-Type": ""}, 415),
        (b'{"network": {}}', {"Host": "attacker.example"}, 403),
        (b'{"network": {}}', {"Host": "localhost:abc"}, 400),
        (b'{"network": {}}', {"If-Match": "x"}, 201),
    ],
)
def test_bodies(world: World, raw: bytes, headers: dict[str, str], status: int) -> None:
    """A body that cannot be read, or that a browser sends for somebody else, is refused; never with a 5xx."""
    answer = world.api.request("POST", "/v2.0/networks", raw, headers=headers)
    assert answer.status == status, answer.json
    if status != 201:
        assert answer.message


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v2.0/networks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /v2.0/networks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", b"413"),
        (b"POST /v2.0/networks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    ],
)
def test_heads(world: World, head: bytes, status: bytes) -> None:
    """A request that is not read is answered, and its connection ends."""
    with socket.create_connection(("127.0.0.1", world.api.port), timeout=60) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert answer.split(b" ")[1] == status, answer
    assert world.api.request("GET", "/healthz").status == 200


def test_a_body_however_deep_is_answered(world: World) -> None:
    """Around the depth at which the interpreter gives up, which depends on where it is asked."""
    path = world.fill("/v2.0/ports/{port}")
    for levels in (*range(15, 20), *range(900, 1010, 2)):
        text = b"[" * (levels - 1) + b"]" * (levels - 1)
        answer = world.api.request("PUT", path, b'{"port": {"binding:profile": {"a": %s}}}' % text)
        assert answer.status == (200 if levels <= 16 else 400), levels
    world.api.update("port", path.rpartition("/")[2], **{"binding:profile": {}})


def test_methods_that_are_not_there(world: World) -> None:
    assert world.api.request("PATCH", "/v2.0/networks").status == 405
    assert world.api.request("DELETE", "/v2.0/networks").status == 405
    assert world.api.request("POST", "/v2.0/agents", {"agent": {}}).status == 405


def test_requests_are_told_apart(world: World) -> None:
    """Each answer has an id of its own, also that of a request that was refused."""
    ids = {world.api.request("GET", path).headers["x-openstack-request-id"] for path in ("/", "/v2.0/x", "/healthz")}
    assert len(ids) == 3
