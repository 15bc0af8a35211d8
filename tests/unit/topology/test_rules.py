"""What requests and documents may make of a topology in memory: attributes act, are for others, or are refused."""

from __future__ import annotations

from typing import Any

import pytest

from topology.documents.plan import plan
from topology.documents.reader import parse_document
from topology.errors import DocumentError
from topology.model import Network, NetworkType, Subnet
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.operations.checks import check
from topology.rules.operations.draft import Draft, Maker
from topology.rules.operations.operate import TopologyOperation, operate_all
from topology.rules.request_errors import BadRequest, InUse, ResourceError
from topology.rules.state import TopologyState
from topology.rules.views import network_view, port_view

POLICY = AllocationPolicy(NetworkType.GRE, ((1, 99),), {"physnet1": ((100, 199),)})
NET, SUBNET, PORT = (f"{digit}0000000-0000-4000-8000-000000000001" for digit in "123")
V4 = {"cidr": "10.0.0.0/24", "ip_version": 4}
V6 = {"cidr": "2001:db8::/64", "ip_version": 6}
SLAAC = {**V6, "ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
EUI64 = "2001:db8::f816:3eff:fe00:1"

Step = tuple[str, str, dict[str, Any]]


class Topology:
    """One that is changed by requests, each a draft of its own."""

    def __init__(self, policy: AllocationPolicy = POLICY) -> None:
        self.state = TopologyState()
        self.policy = policy

    def do(self, action: Any, kind: str, object_id: str, **values: Any) -> Draft:
        """One request."""
        resource = RESOURCES[kind]
        checked = resource.read_create(values) if action == "create" else resource.read_update(values)
        draft = Draft(self.state, self.policy, Maker(), 0.0)
        operate_all(draft, [TopologyOperation(action, kind, object_id, checked)])
        check(draft)
        self._follow(draft)
        return draft

    def make(self, **network: Any) -> Topology:
        """A network."""
        self.do("create", "network", NET, **network)
        return self

    def subnet(self, **values: Any) -> Topology:
        """A subnet of it."""
        self.do("create", "subnet", SUBNET, network_id=NET, **values)
        return self

    def port(self, **values: Any) -> Topology:
        """A port on it."""
        self.do("create", "port", PORT, network_id=NET, mac_address="fa:16:3e:00:00:01", **values)
        return self

    def addresses(self) -> list[str]:
        """Of the port."""
        return [one.ip_address for one in self.state.ports[PORT].fixed_ips]

    def _follow(self, draft: Draft) -> None:
        for kind, object_id in draft.gone:
            if kind == "port":
                self.state.remove_port(object_id)
            elif kind == "network":
                self.state.remove_network(object_id)
        for network in draft.networks.values():
            subnets = {one.id: draft.attributes("subnet", one.id) for one in network.subnets}
            self.state.put_network(network, draft.attributes("network", network.id), subnets)
        for port in draft.ports.values():
            self.state.put_port(port, draft.attributes("port", port.id))


# -- port security -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, "True", 1, "1"])
@pytest.mark.parametrize("kind", ["network", "port"])
@pytest.mark.parametrize("action", ["create", "update"])
def test_protection_is_asked_for_in_any_spelling(action: str, kind: str, value: object) -> None:
    given: dict[str, Any] = {"port_security_enabled": value}
    if action == "create" and kind == "port":
        given["network_id"] = NET
    read = RESOURCES[kind].read_create if action == "create" else RESOURCES[kind].read_update
    assert read(given)["port_security_enabled"] is True
    with pytest.raises(BadRequest, match=r"^Invalid input for port_security_enabled\. Reason: 'maybe' is not a valid"):
        read({**given, "port_security_enabled": "maybe"})


@pytest.mark.parametrize(
    ("network", "path"),
    [
        ({"port_security_enabled": "maybe"}, "networks[0].port_security_enabled"),
        ({"ports": [{"name": "p", "port_security_enabled": "yes"}]}, "networks[0].ports[0].port_security_enabled"),
    ],
)
def test_a_document_asks_for_it_in_one_spelling(network: dict[str, Any], path: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document({"networks": [{"name": "n", **network}]})
    assert caught.value.path == path


@pytest.mark.parametrize("given", [{}, {"port_security_enabled": False}])
def test_what_is_shown_is_that_there_is_none(given: dict[str, Any]) -> None:
    """Who sends what is shown, or leaves it out, is not refused."""
    made = Topology().make(**given).port(**given)
    network, port = made.state.networks[NET], made.state.ports[PORT]
    assert network_view(network, made.state.stored("network", NET))["port_security_enabled"] is False
    assert port_view(port, made.state.stored("port", PORT))["port_security_enabled"] is False


# -- addresses that follow from MAC addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "modes",
    [
        {"ipv6_address_mode": "slaac"},
        {"ipv6_ra_mode": "slaac"},
        {"ipv6_ra_mode": "dhcpv6-stateless"},
        {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"},
    ],
)
def test_either_mode_makes_a_subnet_automatic(modes: dict[str, str]) -> None:
    """Guests that hear such advertisements make their addresses, whoever sends them."""
    assert Topology().make().subnet(**V6, **modes).port().addresses() == [EUI64]


@pytest.mark.parametrize("modes", [{}, {"ipv6_ra_mode": "dhcpv6-stateful"}, {"ipv6_address_mode": "dhcpv6-stateful"}])
def test_others_have_addresses_of_their_pools(modes: dict[str, str]) -> None:
    assert Topology().make().subnet(**V6, **modes).port().addresses() == ["2001:db8::2"]


@pytest.mark.parametrize("mode", ["ipv6_ra_mode", "ipv6_address_mode"])
def test_an_automatic_subnet_is_a_slash_64(mode: str) -> None:
    with pytest.raises(BadRequest, match="in a /64 only"):
        Topology().make().subnet(cidr="2001:db8::/80", ip_version=6, **{mode: "slaac"})


# -- what goes with a network or a subnet ------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["network:dhcp", "network:distributed"])
def test_a_network_takes_ports_along_that_are_for_it_alone(owner: str) -> None:
    made = Topology().make().subnet(**V4).port(device_owner=owner)
    made.do("delete", "network", NET)
    assert (made.state.networks, made.state.ports) == ({}, {})


@pytest.mark.parametrize("owner", ["", "compute:nova", "network:router_interface", "network:dhcp2"])
def test_a_network_with_others_stays(owner: str) -> None:
    made = Topology().make().subnet(**V4).port(device_owner=owner)
    with pytest.raises(InUse, match="ports still in use") as caught:
        made.do("delete", "network", NET)
    assert caught.value.kind == "NetworkInUse"


@pytest.mark.parametrize(
    ("subnet", "port"),
    [
        (SLAAC, {}),
        (SLAAC, {"device_owner": "compute:nova"}),
        ({**V6, "ipv6_ra_mode": "dhcpv6-stateless"}, {}),
        (SLAAC, {"device_owner": "network:dhcp"}),
        (V4, {"device_owner": "network:dhcp"}),
    ],
)
def test_a_subnet_takes_addresses_along_that_nobody_has_chosen(subnet: dict[str, Any], port: dict[str, Any]) -> None:
    """The port stays, and is a revision newer."""
    made = Topology().make().subnet(**subnet).port(**port)
    assert len(made.addresses()) == 1
    made.do("delete", "subnet", SUBNET)
    assert made.addresses() == []
    assert made.state.networks[NET].subnets == ()
    assert made.state.stored("port", PORT)["revision_number"] == 2


@pytest.mark.parametrize(
    ("subnet", "port"),
    [
        (V4, {}),
        (V6, {}),
        (V4, {"device_owner": "network:router_interface"}),
        (SLAAC, {"device_owner": "network:router_interface", "fixed_ips": [{"ip_address": "2001:db8::1"}]}),
        (
            SLAAC,
            {"device_owner": "network:ha_router_replicated_interface", "fixed_ips": [{"ip_address": "2001:db8::1"}]},
        ),
        ({**V6, "ipv6_address_mode": "dhcpv6-stateful"}, {"device_owner": "compute:nova"}),
    ],
)
def test_a_subnet_with_other_addresses_stays(subnet: dict[str, Any], port: dict[str, Any]) -> None:
    made = Topology().make().subnet(**subnet).port(**port)
    with pytest.raises(InUse, match="IP allocation") as caught:
        made.do("delete", "subnet", SUBNET)
    assert caught.value.kind == "SubnetInUse"
    assert len(made.addresses()) == 1


def test_a_document_without_a_subnet_takes_addresses_along_that_nobody_has_chosen() -> None:
    made = Topology().make(name="n").subnet(**SLAAC).port(name="p")
    draft = Draft(made.state, POLICY, Maker(), 0.0, may_move=True)
    document = parse_document({"networks": [{"name": "n", "ports": [{"name": "p"}]}]})
    told = [(one.action, one.kind, one.detail) for one in plan(document, draft, prune=True)]
    assert told == [("delete", "subnet", "2001:db8::/64"), ("update", "port", f"fixed_ips [{EUI64}] -> []")]


# -- MTU ---------------------------------------------------------------------------------------------------------------

JUMBO = AllocationPolicy(NetworkType.GRE, ((1, 99),), {"physnet1": ((100, 199),)}, mtu=9000, physical_mtus={"p2": 1400})


def of(kind: str, physical: str | None = None) -> dict[str, Any]:
    """A network of a type."""
    return {"provider:network_type": kind, **({"provider:physical_network": physical} if physical else {})}


@pytest.mark.parametrize(
    ("policy", "network", "largest"),
    [
        (POLICY, of("gre"), 1454),
        (POLICY, of("vxlan"), 1446),
        (POLICY, of("geneve"), 1446),
        (POLICY, of("vlan", "physnet1"), 1500),
        (POLICY, of("flat", "physnet9"), 1500),
        (POLICY, of("local"), 1500),
        (JUMBO, of("gre"), 8954),
        (JUMBO, of("local"), 9000),
        (JUMBO, of("vlan", "physnet1"), 9000),
        (JUMBO, of("flat", "p2"), 1400),
    ],
)
def test_no_mtu_is_above_what_the_type_carries(policy: AllocationPolicy, network: dict[str, Any], largest: int) -> None:
    """It is what a network has that names none, and then the largest that can be asked for."""
    made = Topology(policy).make(**network)
    assert network_view(made.state.networks[NET], made.state.stored("network", NET))["mtu"] == largest
    made.do("update", "network", NET, mtu=largest)
    for refused in (largest + 1, 65535):
        text = f"Invalid input for operation: Requested MTU is too big, maximum is {largest}."
        with pytest.raises(BadRequest, match=f"^{text}$") as caught:
            made.do("update", "network", NET, mtu=refused)
        assert caught.value.kind == "InvalidInput"
        with pytest.raises(BadRequest, match=f"^{text}$"):
            Topology(policy).make(**network, mtu=refused)


def test_a_network_that_a_document_moves_is_checked_anew() -> None:
    made = Topology().make(**of("local"), mtu=1500)
    draft = Draft(made.state, POLICY, Maker(), 0.0, may_move=True)
    with pytest.raises(BadRequest, match="maximum is 1446"):
        operate_all(draft, [TopologyOperation("update", "network", NET, {"provider:network_type": "vxlan"})])


@pytest.mark.parametrize("mtu", [68, 1000, 1279])
def test_ipv6_needs_an_mtu_of_1280(mtu: int) -> None:
    """RFC 8200, section 5; whichever of the two comes later is refused."""
    made = Topology().make(mtu=mtu)
    with pytest.raises(InUse, match=f"^MTU of {NET} is not valid, subnet requires a minimum of 1280$") as caught:
        made.subnet(**V6)
    assert caught.value.kind == "NetworkMTUSubnetConflict"
    made.subnet(**V4)
    made.do("update", "network", NET, mtu=1280)
    made.do("delete", "subnet", SUBNET)
    made.subnet(**V6)
    with pytest.raises(InUse, match="requires a minimum of 1280"):
        made.do("update", "network", NET, mtu=mtu)
    made.do("update", "network", NET, name="other")


def test_what_was_made_before_the_rule_can_still_be_changed() -> None:
    """It was accepted once: neither its name nor its ports may be stuck with it."""
    made = Topology()
    made.state.put_network(
        Network(NET, NetworkType.GRE, 1, subnets=(Subnet(SUBNET, "2001:db8::/64"),)), {"mtu": 9000}, {}
    )
    made.do("update", "network", NET, name="other", description="d")
    made.port()
    with pytest.raises(ResourceError):
        made.do("update", "network", NET, mtu=1000)
    made.do("update", "network", NET, mtu=1400)
