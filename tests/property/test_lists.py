"""Answers to list requests: of views that have what was made of them, and of views made anew of each object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.network_api.lists import Query, chosen, links, parse, select, walked
from controller.network_api.request_bodies import list_body
from topology.model import FixedIp, Host, Network, NetworkType, Port, PortStatus, Subnet
from topology.rules.access.access import Access
from topology.rules.access.policy import ADMIN, Caller, caller, hidden
from topology.rules.access.sharing import is_shared_with
from topology.rules.attributes import schemas
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.request_errors import BadRequest, NotFound
from topology.rules.state import ResourceState
from topology.rules.views import View, network_view, port_view, subnet_view, with_host

_CALLERS = (
    ADMIN,
    caller("nova", "services", ["service"]),
    caller("red", "red", ["member"]),
    caller("reader", "red", ["reader"]),
    caller("blue", "blue", ["manager"]),
)
_HOSTS = (None, "one", "two")
_URL = "http://[::1]:9696/v2.0/ports"
_TAGS = ("gold", "grün")

Stored = Mapping[str, Any]


def _id(kind: int, number: int) -> str:
    return f"0000000{kind}-0000-4000-8000-{number:012x}"


_NETWORKS, _PORTS = [_id(0, at) for at in range(3)], [_id(1, at) for at in range(7)]
_stored = st.fixed_dictionaries(
    {"project_id": st.sampled_from(["red", "blue", ""]), "revision_number": st.integers(0, 3)},
    optional={
        "description": st.sampled_from(["", 'ä "quoted" \\ one', "\u2028"]),
        "tags": st.lists(st.sampled_from(_TAGS), unique=True),
    },
)


@st.composite
def _network(draw: st.DrawFn) -> tuple[Network, Stored]:
    number = draw(st.integers(0, len(_NETWORKS) - 1))
    subnets = (Subnet(_id(2, number), f"10.{number}.0.0/24", name=draw(st.sampled_from("ab"))),)
    network = Network(
        _NETWORKS[number], NetworkType.VXLAN, 1 + number, name=draw(st.sampled_from("ab")), subnets=subnets
    )
    policies = [{"id": _id(3, number), "target_tenant": "red", "project_id": "blue"}]
    sharing = {"shared": st.booleans(), "rbac_policies": st.just(policies)}
    return network, draw(_stored) | draw(st.fixed_dictionaries({}, optional=sharing))


@st.composite
def _port(draw: st.DrawFn) -> tuple[Port, Stored]:
    number, network = draw(st.integers(0, len(_PORTS) - 1)), draw(st.integers(0, len(_NETWORKS) - 1))
    fixed = (FixedIp(f"10.{network}.0.{10 + number}", _id(2, network)),)
    host = draw(st.sampled_from(_HOSTS))
    port = Port(
        _PORTS[number], _NETWORKS[network], f"fa:16:3e:00:00:{number:02x}", fixed, draw(st.sampled_from("ab")),
        requested_host=host, status=draw(st.sampled_from([PortStatus.ACTIVE, PortStatus.DOWN])),
    )  # fmt: skip
    return port, draw(_stored)


_host = st.builds(
    Host, st.sampled_from(["one", "two"]), datapath_type=st.sampled_from(["", "netdev", "system"]),
    integration_bridge=st.sampled_from(["", "br-int", "br-ex"]),
)  # fmt: skip
_change = st.one_of(_port(), _port(), _network(), _host, st.sampled_from(_PORTS + _NETWORKS))

_pairs = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.sampled_from("abc")),
        st.tuples(st.just("project_id"), st.sampled_from(["red", "blue"])),
        st.tuples(st.just("id"), st.sampled_from(_PORTS + _NETWORKS)),
        st.tuples(st.sampled_from(["tags", "not-tags", "tags-any"]), st.sampled_from(_TAGS)),
        st.tuples(st.just("fields"), st.sampled_from(["id", "name", "status,id", "binding:vif_details"])),
        st.tuples(st.just("sort_key"), st.sampled_from(["name", "id", "project_id"])),
        st.tuples(st.just("limit"), st.sampled_from("0123")),
        st.tuples(st.just("marker"), st.sampled_from(_PORTS + _NETWORKS)),
        st.tuples(st.just("page_reverse"), st.just("True")),
    ),
    max_size=4,
)


class _Topology:
    """What the API process knows, and what it was told."""

    def __init__(self) -> None:
        self.state = ResourceState()
        self.hosts: dict[str, Host] = {}
        self.networks: dict[str, tuple[Network, Stored]] = {}
        self.ports: dict[str, tuple[Port, Stored]] = {}

    def change(self, change: Any) -> None:
        """Something is there, or is another one now; of an id: it is there no more."""
        if isinstance(change, Host):
            self.hosts[change.name] = change
        elif isinstance(change, str):
            (self.ports if change in _PORTS else self.networks).pop(change, None)
            self.state.remove_port(change) if change in _PORTS else self.state.remove_network(change)
        elif isinstance(change[0], Port):
            self.ports[change[0].id] = change
            self.state.put_port(*change)
        else:
            self.networks[change[0].id] = change
            self.state.put_network(*change, {})

    def with_host(self, view: View) -> View:
        """As :class:`topology.database.resource_database.ResourceDatabase` has it."""
        return with_host(view, self.hosts.get(view["binding:host_id"])) if view.get("binding:vif_details") else view

    def found(self, who: Caller, kind: str, query: Query) -> list[View]:
        """The page, as the API process finds it."""
        page = walked(map(self.with_host, Access(who, self.state).walk(kind, query.wanted)), query)
        return [RESOURCES[kind].seen(view) for view in page]

    def made(self, who: Caller, kind: str) -> Iterator[dict[str, Any]]:
        """All that somebody sees, made anew."""
        for view in self._all(who, kind):
            try:
                Access(who, self.state).show(kind, view["id"])
            except NotFound:
                continue
            for name in hidden(kind, who):
                del view[name]
            host = self.hosts.get(view.get("binding:host_id", ""))
            if host is not None:
                details = {"datapath_type": host.datapath_type, "bridge_name": host.integration_bridge}
                view["binding:vif_details"] |= {name: value for name, value in details.items() if value}
            yield view

    def _all(self, who: Caller, kind: str) -> Iterator[dict[str, Any]]:
        if kind == "port":
            yield from (dict(port_view(*one)) for one in self.ports.values())
        for network, stored in self.networks.values():
            if kind == "network":
                shared = is_shared_with(kind, stored, who.project_id)
                yield dict(network_view(network, stored)) | ({"shared": True} if shared else {})
            elif kind == "subnet":
                views = (subnet_view(subnet, network.id, {}) for subnet in network.subnets)
                yield from (dict(view) | {"shared": stored.get("shared", False)} for view in views)


def _answer(topology: _Topology, who: Caller, kind: str, query: Query, pairs: list[tuple[str, str]]) -> bytes:
    """What the API process sends; empty: there is no object of the marker."""
    try:
        page = topology.found(who, kind, query)
    except BadRequest:
        return b""
    return list_body(f"{kind}s", page, query.fields, list(links(pairs, _URL, query, page)))


def _slowly(topology: _Topology, who: Caller, kind: str, query: Query, pairs: list[tuple[str, str]]) -> bytes:
    """The same without an index and without anything that was there before."""
    try:
        page = select(list(topology.made(who, kind)), query)
    except BadRequest:
        return b""
    if kind == "subnet":
        page = [{name: value for name, value in view.items() if name != "shared"} for view in page]
    answer: dict[str, Any] = {f"{kind}s": [chosen(view, query.fields) for view in page]}
    if others := list(links(pairs, _URL, query, page)):
        answer[f"{kind}s_links"] = others
    return json.dumps(answer, ensure_ascii=False).encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(_change, min_size=1, max_size=8), _pairs), min_size=1, max_size=6))
def test_a_list_is_that_of_views_made_anew(rounds: list[tuple[list[Any], list[tuple[str, str]]]]) -> None:
    """Byte for byte, whatever was asked for before by whom, and has changed since; with each filter, order and page."""
    topology = _Topology()
    for changes, pairs in rounds:
        for change in changes:
            topology.change(change)
        for who, kind in product(_CALLERS, ("port", "network", "subnet")):
            for asked in ([], pairs):
                query = parse(asked, schemas.kinds(RESOURCES[kind]))
                assert _answer(topology, who, kind, query, asked) == _slowly(topology, who, kind, query, asked)


def test_a_port_is_shown_with_what_its_host_says_now() -> None:
    """Whoever has seen it before: the JSON that its view has belongs to the host as it was."""
    topology = _Topology()
    port = Port(_PORTS[0], _NETWORKS[0], "fa:16:3e:00:00:01", requested_host="one")
    topology.change((Network(_NETWORKS[0], NetworkType.VXLAN, 1), {}))
    topology.change((port, {"project_id": "red"}))
    query = parse([], schemas.kinds(RESOURCES["port"]))
    for bridge in ("br-int", "br-ex", "", "br-ex"):
        topology.change(Host("one", integration_bridge=bridge))
        for who in _CALLERS:
            assert _answer(topology, who, "port", query, []) == _slowly(topology, who, "port", query, [])
        assert (f'"bridge_name": "{bridge}"' in _answer(topology, ADMIN, "port", query, []).decode()) is bool(bridge)
