"""Pages of lists: the same whether objects are walked in order or all looked at, and few are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network_api.lists import Query, parse, select, walked
from topology.model import FixedIp, Port
from topology.rules.attributes.attributes import PORT
from topology.rules.attributes.schemas import kinds
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest
from topology.rules.state import ResourceState
from topology.rules.views import View

NETWORK = "10000000-0000-4000-8000-{:012}"
SUBNET = "20000000-0000-4000-8000-{:012}"
PORT_ID = "30000000-0000-4000-8000-{:012}"
KINDS = kinds(PORT)


def filled(numbers: list[int]) -> ResourceState:
    """Ports of 20 networks, each with an address, some with tags."""
    state = ResourceState()
    for number in numbers:
        network = number % 20
        address = FixedIp(f"10.0.{number // 200}.{number % 200 + 1}", SUBNET.format(network))
        mac = f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}"
        port = Port(PORT_ID.format(number), NETWORK.format(network), mac, (address,), f"p{number}", f"d{number // 2}")
        state.put_port(port, {"tags": [f"t{number % 50}"] if number % 3 else [f"t{number % 50}", "third"]})
    return state


class Watched:
    """Counts the views that are taken."""

    def __init__(self, state: ResourceState, query: Query) -> None:
        self.taken = 0
        self._views = state.walk("port", query.wanted)

    def __iter__(self) -> Iterator[View]:
        for view in self._views:
            self.taken += 1
            yield view


def asked(*pairs: tuple[str, str]) -> Query:
    return parse(pairs, KINDS)


MANY = filled(list(range(2000)))


@pytest.mark.parametrize(
    ("pairs", "most", "found"),
    [
        ([("limit", "100")], 101, 100),
        ([("limit", "100"), ("marker", PORT_ID.format(1500))], 102, 100),
        ([("limit", "100"), ("marker", PORT_ID.format(1500)), ("page_reverse", "True")], 102, 100),
        ([("limit", "100"), ("sort_key", "id"), ("sort_dir", "desc")], 101, 100),
        ([("limit", "10"), ("status", "DOWN")], 11, 10),
        ([("limit", "10"), ("network_id", NETWORK.format(7))], 11, 10),
        ([("network_id", NETWORK.format(7))], 100, 100),
        ([("fixed_ips", "ip_address=10.0.3.8")], 1, 1),
        ([("fixed_ips", f"subnet_id={SUBNET.format(3)}")], 100, 100),
        ([("fixed_ips", "ip_address=10.0.3.8"), ("network_id", NETWORK.format(1))], 1, 0),
        ([("fixed_ips", "ip_address=10.0.3.8"), ("fixed_ips", f"subnet_id={SUBNET.format(3)}")], 1, 0),
        ([("fixed_ips", "ip_address_substr=0.3.8"), ("fixed_ips", f"subnet_id={SUBNET.format(7)}")], 100, 2),
        ([("mac_address", "FA-16-3E-00-00-09")], 1, 1),
        ([("device_id", "d9")], 2, 2),
        ([("name", "p9"), ("name", "p10")], 2, 2),
        ([("id", PORT_ID.format(9)), ("id", PORT_ID.format(5000))], 1, 1),
        ([("binding:host_id", "h1")], 0, 0),
        ([("tags", "t3,third")], 40, 14),
        ([("tags-any", "t3,t4")], 80, 80),
        ([("tenant_id", "x")], 0, 0),
        ([("status", "ACTIVE")], 0, 0),
    ],
)
def test_few_are_looked_at(pairs: list[tuple[str, str]], most: int, found: int) -> None:
    """Of 2,000: those that can be on the page."""
    query = asked(*pairs)
    views = Watched(MANY, query)
    page = walked(views, query)
    assert len(page) == found
    assert views.taken <= most


def test_an_index_forgets_what_has_gone() -> None:
    """Found by what it has, in its place in the order, and nowhere when it is gone."""
    state = filled([3, 1, 2])
    for number in (1, 3):
        state.remove_port(PORT_ID.format(number))
    for number in (5, 4):
        state.put_port(Port(PORT_ID.format(number), NETWORK.format(0), f"fa:16:3e:00:00:0{number}"), {"tags": ["t1"]})
    assert [view["id"][-1] for view in state.walk("port", Selection())] == ["2", "4", "5"]
    assert state.found("port", "tags", "t1") == {PORT_ID.format(4), PORT_ID.format(5)}
    state.put_port(Port(PORT_ID.format(4), NETWORK.format(0), "fa:16:3e:00:00:04"), {})
    assert state.found("port", "tags", "t1") == {PORT_ID.format(5)}
    assert state.found("port", "fixed_ips", ("ip_address", "10.0.0.2")) == ()


def test_two_addresses_of_a_subnet_are_forgotten_together() -> None:
    state = ResourceState()
    addresses = tuple(FixedIp(f"10.0.0.{number}", SUBNET.format(1)) for number in (1, 2))
    state.put_port(Port(PORT_ID.format(1), NETWORK.format(1), "fa:16:3e:00:00:01", addresses), {})
    assert state.found("port", "fixed_ips", ("subnet_id", SUBNET.format(1))) == {PORT_ID.format(1)}
    state.remove_port(PORT_ID.format(1))
    assert state.found("port", "fixed_ips", ("subnet_id", SUBNET.format(1))) == ()


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["p1", "p2", ""]),
        "network_id": st.sampled_from([NETWORK.format(1), NETWORK.format(2)]),
        "device_id": st.sampled_from(["d1", "d9"]),
        "fixed_ips": st.sampled_from(["ip_address=10.0.0.4", f"subnet_id={SUBNET.format(1)}", "ip_address_substr=.1"]),
        "tags": st.sampled_from(["t1", "third", "t1,third"]),
        "tags-any": st.sampled_from(["t1,t2", "third"]),
        "not-tags": st.sampled_from(["t1", "third"]),
        "status": st.sampled_from(["DOWN", "ACTIVE"]),
        "project_id": st.just(""),
        "limit": st.sampled_from(["1", "2", "5", "1000"]),
        "marker": st.integers(0, 70).map(PORT_ID.format),
        "page_reverse": st.sampled_from(["True", "False"]),
        "sort_key": st.sampled_from(["id", "name"]),
        "sort_dir": st.sampled_from(["asc", "desc"]),
    },
)


@given(st.sets(st.integers(0, 69), max_size=60), st.sets(st.integers(0, 69), max_size=20), OPTIONS)
def test_walked_and_looked_at_all_is_the_same(made: set[int], gone: set[int], options: dict[str, str]) -> None:
    """Whatever is asked for, of whatever is there: one page, one error."""
    options = {key: value for key, value in options.items() if key != "sort_dir" or "sort_key" in options}
    state = filled(list(made))
    for number in gone & made:
        state.remove_port(PORT_ID.format(number))
    query = asked(*options.items())

    def outcome(choose: Any, views: Any) -> Any:
        try:
            return choose(views, query)
        except BadRequest as error:
            return str(error)

    everything = list(state.walk("port", Selection()))
    assert outcome(walked, state.walk("port", query.wanted)) == outcome(select, everything)
