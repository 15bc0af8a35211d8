"""A host's place in the topology: who may have it, and what becomes of who may not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

pytestmark = pytest.mark.one_hub

PORT = "99f91280-a060-442e-90b0-d8324e50efc8"
DOCUMENT = {
    "networks": [
        {
            "id": "c4d8b48b-6ff7-43b6-a203-8f1192a16f07",
            "provider:network_type": "gre",
            "provider:segmentation_id": 2,
            "ports": [{"id": PORT, "mac_address": "fa:16:3e:02:dd:79"}],
        }
    ]
}
SET_UP_BY_HAND = {
    "br-int": ["priority=5,arp,in_port=1 actions=NORMAL", "priority=0 actions=NORMAL"],
    "br-tun": ["priority=4,in_port=1,dl_vlan=7 actions=set_field:0x2->tun_id,NORMAL", "priority=0 actions=NORMAL"],
}
"""Bridges as an agent leaves them that works with ovs-ofctl: without a controller, so that Open vSwitch would remove
all flows as soon as there is one (ovs-vsctl(8), "set-controller")."""


@pytest.fixture
def server() -> Iterator[OvsdbServer]:
    """The topology database that the hosts share."""
    with OvsdbServer() as server:
        yield server.start()


@pytest.fixture
def second(ovs: OvsHost) -> OvsHost:
    """A host that another agent has set up and that carries a device."""
    ovs.vsctl(
        *("--", "add-br", "br-int", "--", "add-br", "br-tun", "--", "add-br", "br-ex"),
        *("--", "add-port", "br-tun", "gre-c0000209", "--", "set", "Interface", "gre-c0000209"),
        *("type=gre", "options:remote_ip=192.0.2.9"),
    )
    ovs.plug("tap-gre", PORT)
    ovs.vsctl("set", "Port", "tap-gre", "tag=7")
    for bridge, flows in SET_UP_BY_HAND.items():
        for flow in flows[:-1]:
            ovs.ofctl("add-flow", bridge, flow.replace(" actions", ",actions"))
    assert {bridge: ovs.dump(bridge) for bridge in SET_UP_BY_HAND} == SET_UP_BY_HAND
    return ovs


@pytest.fixture
def controller(
    server: OvsdbServer, hub: str, report_logs: list[Path]
) -> Iterator[Callable[[OvsHost, str, str], Tunbridge]]:
    """Makes a controller of a host (name, tunnel address) that shares the topology; it is not started."""
    with ExitStack() as stack:

        def make(ovs: OvsHost, name: str, local_ip: str) -> Tunbridge:
            options = {
                "DEFAULT": {"host": name},
                "ovs": {"local_ip": local_ip, "bridge_mappings": "physnet1:br-ex"},
                "topology": {"connection": server.connection},
            }
            made = Tunbridge(ovs, hub=hub, options=options)
            stack.callback(shutil.rmtree, made.directory, ignore_errors=True)  # where it is never entered
            report_logs.append(made.log)
            return made

        yield make


REFUSALS = {
    ("host1", "192.0.2.2"): r"host name host1 is taken by another installation "
    r"\(tunnel address 192\.0\.2\.1, last seen [^)]*\): give this host another name \(\[DEFAULT\] host\), ",
    ("host2", "192.0.2.1"): r"tunnel address 192\.0\.2\.1 is taken by host host1 \(last seen [^)]*\): "
    r"give this host an address of its own \(\[ovs\] local_ip\), ",
}
"""Name and address of a host that comes later → what it says."""


def test_a_place_that_is_taken(
    server: OvsdbServer, second: OvsHost, controller: Callable[[OvsHost, str, str], Tunbridge]
) -> None:
    """The later of two hosts ends with status 1 and one line, and has touched nothing on its Open vSwitch nor in the
    topology; once the first is deleted it can have the place."""
    with OvsHost() as first_ovs, controller(first_ovs, "host1", "192.0.2.1") as first:
        first.apply(DOCUMENT)
        wait_until(lambda: server.rows("Host", "name") == [{"name": "host1"}], 10, "host1 is registered")
        topology = [server.rows(table) for table in ("Host", "Port", "Network")]
        versions, layout = second.port_versions(), second.vsctl("list", "Bridge")
        for (name, local_ip), refusal in REFUSALS.items():
            later = controller(second, name, local_ip)
            log = later.directory / "refused.log"
            configuration = later.config_file.read_text()
            later.config_file.write_text(configuration.replace("[DEFAULT]", f"[DEFAULT]\nlog_file = {log}"))
            later.command("run", statuses=(1,))
            said = re.findall("(?:WARNING|ERROR|CRITICAL) (.*)", log.read_text())
            expected = refusal + r"or, if that one is gone for good, `tunbridge host delete host1`$"
            assert len(said) == 1 and re.search(expected, said[0]), said

            assert {bridge: second.dump(bridge) for bridge in SET_UP_BY_HAND} == SET_UP_BY_HAND
            assert (second.port_versions(), second.vsctl("list", "Bridge")) == (versions, layout)
            assert [server.rows(table) for table in ("Host", "Port", "Network")] == topology
            assert first.quick_status()["tunnels"] == []
    later = controller(second, "host2", "192.0.2.1")
    later.command("host", "delete", "host1")
    with later:
        later.wait_device("tap-gre", status="ACTIVE", vlan=1)  # its tag alone says nothing
        assert server.rows("Host", "name") == [{"name": "host2"}]


def test_a_database_restored_without_this_host(
    server: OvsdbServer, ovs: OvsHost, controller: Callable[[OvsHost, str, str], Tunbridge]
) -> None:
    """From a backup of before the host came: it registers again, says so, and claims its port again; nothing is written
    to the switch."""
    host = controller(ovs, "host1", "192.0.2.1")
    host.apply(DOCUMENT)
    server.kill()
    backup = shutil.copy(server.file, server.directory / "backup.db")
    server.start()
    ovs.vsctl("add-br", "br-ex")
    with host:
        ovs.vsctl("--may-exist", "add-br", "br-int")
        ovs.plug("tap-gre", PORT)
        host.wait_device("tap-gre", status="ACTIVE")
        wait_until(lambda: server.rows("Port", "host") == [{"host": "host1"}], 10, "the port is claimed")
        before = host.wait_in_sync()["counters"]
        server.kill()
        shutil.copy(backup, server.file)
        server.start()
        host.wait_log("the topology has lost this host, as a database restored from a backup does")
        for table in ("Host", "HostState"):
            wait_until(lambda: server.rows(table, "name") == [{"name": "host1"}], 10, f"{table} of host1")  # noqa: B023
        claimed = {"host": "host1", "status": "ACTIVE"}
        wait_until(lambda: server.rows("Port", "host", "status") == [claimed], 10, "the port is claimed again")
        assert host.wait_in_sync()["counters"] == before
