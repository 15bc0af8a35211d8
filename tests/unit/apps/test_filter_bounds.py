"""Many ports with groups of their own, and many groups: flows stay as long as OpenFlow can say."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.filtering.filter_tables import FilterTable
from apps.framework.app import UnitKind
from apps.framework.flow import Output
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PortSecurity
from apps.group_filter import MOST_GROUPS
from controller.openflow.wire import flow_messages
from tests.support.openflow.views import BRIDGES, compiled
from topology.model import Network, NetworkType

NETWORK = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 2)


def group(number: int) -> str:
    return f"6d1f0000-0000-4000-8000-{number:012x}"


def port(number: int, group_ids: tuple[str, ...]) -> LocalPort:
    mac = f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"
    return LocalPort(f"port {number}", NETWORK.id, mac, f"tap{number}", number, security=PortSecurity((), group_ids))


def host(*ports: LocalPort) -> HostView:
    networks = Map({NETWORK.id: LocalNetwork(NETWORK, 1)})
    return HostView(BRIDGES, networks=networks, ports=Map({each.port_id: each for each in ports}), patch_tun=60000)


def test_as_many_sets_of_groups_as_a_flow_can_name() -> None:
    """Ports beyond are in one set that is asked of no group; each port gets a copy from one set exactly."""
    ports = [port(number, (group(number),)) for number in range(1, 501)]
    compiler = compiled(host(*ports))
    assert compiler.problems == {}
    flows = list(compiler.flows("br-int").values())
    assert max(len(flow_messages.flow_mod(ofp.OFPFC_ADD, flow, 1)) for flow in flows) < 2**16
    copies = [flow for flow in flows if flow.table == FilterTable.COPIES]
    to = [action.port for flow in copies for action in flow.actions if isinstance(action, Output)]
    assert sorted(to) == list(range(1, 501))
    assert 300 < len(copies) < 400


def test_a_port_with_too_many_groups_is_refused_alone() -> None:
    """By name, and with the reason; its network and its neighbours are served."""
    many = tuple(map(group, range(MOST_GROUPS + 1)))
    compiler = compiled(host(port(1, many), port(2, many[1:]), port(3, ())))
    (problem,) = compiler.problems.items()
    assert problem[0].subject == (UnitKind.PORT, "port 1")
    assert "501 security groups: a port can have 500 at most" in problem[1]
    largest = max(len(flow_messages.flow_mod(ofp.OFPFC_ADD, flow, 1)) for flow in compiler.flows("br-int").values())
    assert largest < 2**16


def test_groups_named_twice_are_asked_once() -> None:
    one, two = port(1, (group(1), group(1))), port(1, (group(1),))
    of_one, of_two = (compiled(host(replace(each))).flows("br-int") for each in (one, two))
    assert of_one == of_two
