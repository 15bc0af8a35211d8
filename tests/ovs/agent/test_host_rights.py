"""A controller that has the rights of its own host does its work: a real Open vSwitch, certificates, and the role."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, Network, new_network, new_port
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.issued import IssuedCertificates, served_with_rights
from tests.support.waiting import wait_until
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyError
from topology.model import Host as TopologyHost
from topology.model import PortStatus
from topology.ovsdb.one_shot import opened
from topology.server.embedded_server import EmbeddedServer
from topology.source import PortReport

pytestmark = pytest.mark.one_hub


class RemoteTopology(Tunbridge):
    """A controller whose topology is on another machine; tests write there as its administrators."""

    server: EmbeddedServer

    @property
    def topology(self) -> str:
        """The unix socket of that machine."""
        return self.server.connection


@pytest.fixture(scope="module", params=["all", "host"])
def host(request: pytest.FixtureRequest, hub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """host1, by its certificate, that follows all of the topology, or what concerns it."""
    with served_with_rights(tmp_path_factory.mktemp("rights")) as (server, connection, issued), OvsHost() as ovs:
        options = {
            "ovs": {"local_ip": "192.0.2.1"},
            "agent": {"report_interval": 1},
            "topology": issued.identity("host1").options(connection=connection, follow=request.param),
        }
        controller = RemoteTopology(ovs, hub=hub, options=options)
        controller.server = server
        with controller:
            controller.wait_in_sync()
            yield Host(ovs, controller)


@pytest.mark.parametrize("requested", [None, "host1"], ids=["free", "requested"])
def test_a_port_is_bound_and_unbound(host: Host, network: Network, requested: str | None) -> None:
    """Twice, since the row is the host's own the second time; nothing that it writes is refused."""
    port = new_port(network)
    host.add_ports(port, **({"requested_host": requested} if requested else {}))
    for _ in range(2):
        host.ovs.plug_many([port.device()])
        host.assert_bound(port)
        host.ovs.unplug(port.name)
        host.wait_row(port, None, "DOWN")
    assert not re.search("RBAC|permission|ERROR", host.tunbridge.log_text())


def test_a_port_of_another_host_is_its_own_once_it_is_given_up(host: Host, network: Network) -> None:
    """The device is bound, the topology says so later: it is asked for only when the other has given it up."""
    port = new_port(network)
    host.add_ports(port, host="host2", status="ACTIVE")
    host.ovs.plug_many([port.device()])
    host.tunbridge.wait_device(port.name, status="ACTIVE")
    row = host.tunbridge.topology_ports()[port.id]
    assert (row["host"], row["status"]) == ("host2", "ACTIVE")
    host.update_port(port, host=["set", []], status="DOWN")
    host.wait_row(port, "host1", "ACTIVE")


def test_many_ports_at_once(host: Host, network: Network) -> None:
    """Free ones and requested ones, in whatever transactions their reports are."""
    ports = [new_port(network) for _ in range(40)]
    host.add_ports(*ports[:20])
    host.add_ports(*ports[20:], requested_host="host1")
    host.ovs.plug_many([port.device() for port in ports])
    for port in ports:
        host.wait_row(port, "host1", "ACTIVE")


def test_the_host_says_that_it_lives(host: Host) -> None:
    def seen() -> int:
        select = {"op": "select", "table": "HostState", "where": [["name", "==", "host1"]]}
        [result] = host.tunbridge.topology_transact(select)
        return int(result["rows"][0]["last_seen"])

    first = seen()
    wait_until(lambda: seen() > first, 20, "another heartbeat")


def test_a_host_that_serves_the_topology_itself_has_all_rights_and_grants_those_of_others(
    hub: str, tmp_path: Path, report_logs: list[Path]
) -> None:
    """`tunbridge run` with the option: its own port is bound as ever, and another host's claim is granted."""
    issued = IssuedCertificates(tmp_path / "pki")
    connection = f"ssl:127.0.0.1:{free_tcp_port()}"
    options = {"topology": issued.identity("topology").options(listen=connection, host_rights="true")}
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub, options=options) as controller:
        report_logs += [controller.log, *ovs.logs]
        host, network = Host(ovs, controller), new_network()
        host.add_networks(network)
        own, other = new_port(network), new_port(network)
        host.add_ports(own, other)
        ovs.plug_many([own.device()])
        host.assert_bound(own)
        database = TopologyDatabase(connection, issued.identity("h2").files())
        with opened(database, 20):
            assert database.register(TopologyHost("h2", instance=str(uuid.uuid4())))
            with pytest.raises(TopologyError, match="RBAC rules for client"):
                database.delete_host("host1")
            assert database.report([PortReport(other.id, "h2", True, PortStatus.ACTIVE)]) == 1
            host.wait_row(other, "h2", "ACTIVE")
        host.wait_row(own, "host1", "ACTIVE")
