"""Open vSwitch goes away and comes back, in part or as a whole, the same or changed: what should be there is there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.flow_monitor import watch
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

BRIDGES = ("br-int", "br-tun", "br-ex")
DEVICES = {f"tap-{kind}{number}": (kind, number) for number in (1, 2) for kind in ("gre", "vlan")}
FOREIGN = "cookie=0xf1,priority=50,dl_type=0x88cc,actions=drop"


def port_id(device: str) -> str:
    kind, number = DEVICES[device]
    return f"{number:08x}-0000-4000-8000-{'a' if kind == 'gre' else 'b':>012}"


def document() -> dict[str, Any]:
    """A tunnelled and a VLAN network with two ports each."""
    networks = []
    for kind, provider in (("gre", {}), ("vlan", {"provider:physical_network": "physnet1"})):
        ports = [{"id": port_id(device)} for device, (its, _) in DEVICES.items() if its == kind]
        head = {"name": kind, "provider:network_type": kind, "provider:segmentation_id": 101}
        networks.append({**head, **provider, "ports": ports})
    return {"networks": networks}


class Host:
    """A host with four ports up, and how it looked then."""

    def __init__(self, ovs: OvsHost, tunbridge: Tunbridge) -> None:
        self.ovs = ovs
        self.tunbridge = tunbridge
        self.plug()
        self.wait_well()
        self.tags, self.sizes = self.told_tags(), self.table_sizes()

    def plug(self) -> None:
        self.ovs.plug_many([Device(device, port_id(device)) for device in DEVICES])

    def told_tags(self) -> dict[str, object]:
        return {name: tag for name, tag in self.ovs.tags().items() if name in DEVICES}

    def table_sizes(self) -> dict[str, int]:
        """Bridge → number of flows, but for those of others: they go with a restart, as everywhere."""
        foreign = ("priority=50,dl_type=0x88cc actions=drop", "priority=0 actions=NORMAL")
        return {name: sum(flow not in foreign for flow in self.ovs.dump(name)) for name in BRIDGES}

    def wait_well(self) -> None:
        """Wait until every port is up and all flows are as they should be, none more and none less."""
        for device in DEVICES:
            ofport = self.ovs.ofport(device)
            self.tunbridge.wait_device(device, status="ACTIVE", reason=None, ofport=ofport)
        status = self.tunbridge.wait_in_sync()
        assert all(status["bridges"][name]["flows"]["drift"] == 0 for name in BRIDGES)

    def assert_as_before(self) -> None:
        """All is well again without help, no local VLAN has changed, and frames cross the patches."""
        self.wait_well()
        assert self.told_tags() == self.tags
        wait_until(lambda: self.table_sizes() == self.sizes, 10, lambda: f"{self.table_sizes()}, not {self.sizes}")
        for bridge in BRIDGES:
            assert not [
                flow for flow in self.ovs.dump(bridge) if "in_port=" in flow and self._is_of_nobody(bridge, flow)
            ]

    def _is_of_nobody(self, bridge: str, flow: str) -> bool:
        """Whether a flow is of a port that the bridge has not."""
        number = flow.split("in_port=")[1].split(",")[0].split()[0]
        ports = self.ovs.vsctl("list-ports", bridge).split()
        return int(number) not in [self.ovs.ofport(port) for port in ports]


@pytest.fixture(scope="module")
def served(hub: str) -> Iterator[Host]:
    """One host for all accidents, one after the other."""
    options = {"bridge_mappings": "physnet1:br-ex", "local_ip": "192.0.2.1"}
    with OvsHost() as ovs:
        ovs.vsctl("add-br", "br-ex", "--", "add-port", "br-ex", "eth1")
        with Tunbridge(ovs, hub=hub, options={"ovs": options}) as tunbridge:
            tunbridge.apply(document())
            tunbridge.wait_in_sync()
            yield Host(ovs, tunbridge)


@pytest.fixture
def host(served: Host, report_logs: list[Path]) -> Host:
    report_logs += [served.tunbridge.log, *served.ovs.logs]
    served.wait_well()
    return served


def restart_all(ovs: OvsHost) -> None:
    """Both daemons, the switch first to go and last to come, as the machine's own scripts do it."""
    ovs.stop_vswitchd()
    ovs.restart_ovsdb_server()
    ovs.start_vswitchd()


def change_ofports(ovs: OvsHost) -> None:
    """While ovs-vswitchd is away the numbers of all ports change hands."""
    ovs.stop_vswitchd()
    ports = [*DEVICES, "patch-tun", "int-br-ex", "phy-br-ex", "patch-int", "eth1"]
    for number, port in enumerate(ports, 40):
        ovs.vsctl("--no-wait", "clear", "Interface", port, "ofport")
        ovs.vsctl("--no-wait", "set", "Interface", port, f"ofport_request={number}")
    ovs.start_vswitchd()
    assert [ovs.ofport(port) for port in ports] == list(range(40, 40 + len(ports)))


def change_datapath_ids(ovs: OvsHost) -> None:
    """While it runs, and while it is away; two bridges exchange theirs."""
    ids = [str(ovs.row("Bridge", name)["datapath_id"]) for name in ("br-int", "br-tun")]
    ovs.vsctl("set", "Bridge", "br-ex", "other_config:datapath-id=00000000000000ee")
    ovs.stop_vswitchd()
    for name, datapath_id in zip(("br-tun", "br-int"), ids, strict=True):
        ovs.vsctl("--no-wait", "set", "Bridge", name, f"other_config:datapath-id={datapath_id}")
    ovs.start_vswitchd()
    wait_until(lambda: ovs.row("Bridge", "br-int")["datapath_id"] == ids[1], 10, "the ids are exchanged")


@pytest.mark.parametrize(
    "accident",
    [
        pytest.param(lambda ovs: ovs.restart_vswitchd(), id="ovs-vswitchd"),
        pytest.param(lambda ovs: ovs.restart_vswitchd(signal.SIGKILL), id="ovs-vswitchd killed"),
        pytest.param(lambda ovs: ovs.restart_ovsdb_server(), id="ovsdb-server"),
        pytest.param(lambda ovs: ovs.restart_ovsdb_server(signal.SIGKILL), id="ovsdb-server killed"),
        pytest.param(restart_all, id="both"),
        pytest.param(change_ofports, id="ofports"),
        pytest.param(change_datapath_ids, id="datapath ids"),
    ],
)
def test_what_restarts_is_served_again(host: Host, accident: Callable[[OvsHost], None]) -> None:
    """Tags stay, flows are compared anew and made of the ports' numbers of now, and what differs is written."""
    accident(host.ovs)
    host.assert_as_before()


def test_bridges_made_anew(host: Host) -> None:
    """Deleted by hand and made again, with the devices plugged again: local VLANs are dealt again, all is joined.

    br-tun may have the id of br-int, which another test exchanged, and a new br-int may get that again.
    """
    host.ovs.vsctl("set", "Bridge", "br-tun", "other_config:datapath-id=00000000000000dd")
    host.wait_well()
    for name in ("br-int", "br-tun", "br-ex"):
        host.ovs.vsctl("del-br", name)
        if name == "br-ex":
            host.ovs.vsctl("add-br", "br-ex", "--", "add-port", "br-ex", "eth1")
            host.tunbridge.wait_log("port phy-br-ex made a patch to int-br-ex")
        else:  # it is ours, and is made again before anybody could
            wait_until(lambda name=name: name in host.ovs.vsctl("list-br").split(), 10, f"{name} is back")
        if name == "br-int":
            host.plug()
        host.wait_well()
    wait_until(lambda: host.table_sizes() == host.sizes, 10, lambda: f"{host.table_sizes()}, not {host.sizes}")
    host.tunbridge.wait_log("bridge br-tun is gone")
    wait_until(
        lambda: host.ovs.row("Interface", "int-br-ex")["error"] is None, 10, "int-br-ex is joined to phy-br-ex again"
    )


@pytest.mark.long
def test_ovsdb_server_is_away_for_longer(host: Host) -> None:
    """ovs-vswitchd speaks no OpenFlow meanwhile, so its connections are given up: no flow changes."""
    flows = [host.ovs.dump(name, cookies=True) for name in BRIDGES]
    written = host.tunbridge.quick_status()["counters"]["flow_mods"]
    silences = host.tunbridge.log_text().count("no answer to an echo request")
    host.ovs.stop_ovsdb_server()
    wait_until(
        lambda: host.tunbridge.log_text().count("no answer to an echo request") == silences + len(BRIDGES),
        30,
        "the controller has given up the connections",
    )
    host.ovs.start_ovsdb_server()
    host.assert_as_before()
    assert [host.ovs.dump(name, cookies=True) for name in BRIDGES] == flows
    assert host.tunbridge.quick_status()["counters"]["flow_mods"] == written


@pytest.fixture
def saved(host: Host, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Restarts ovs-vswitchd as ``ovs-ctl restart`` does: flows saved before, and restored before it may forward.

    The call returns with the flag still set; the flag ends the wait.
    """
    env = os.environ | {"OVS_RUNDIR": str(host.ovs.rundir), "TMPDIR": str(tmp_path)}
    script = tmp_path / "flows.sh"

    def restart() -> None:
        argv = ["/usr/share/openvswitch/scripts/ovs-save", "save-flows", *BRIDGES]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
        script.write_text(done.stdout)
        host.ovs.stop_vswitchd()
        host.ovs.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
        host.ovs.start_vswitchd()
        subprocess.run(["sh", str(script)], env=env, capture_output=True, timeout=60, check=True)

    yield restart


def test_flows_that_ovs_ctl_restores_stay(host: Host, saved: Callable[[], None]) -> None:
    """When the wait ends, no flow that was restored goes, not for a moment, those of others on br-ex among them."""
    host.ovs.ofctl("add-flow", "br-ex", FOREIGN)
    before = [host.ovs.dump(name) for name in BRIDGES]
    saved()
    assert [host.ovs.dump(name) for name in BRIDGES] == before
    waits = "Open vSwitch waits until its flows are restored, and connects to no controller"
    wait_until(
        lambda: any(waits in problem for problem in host.tunbridge.quick_status().get("problems", [])),
        10,
        lambda: f"{waits}: {host.tunbridge.quick_status()}",
    )
    with watch(host.ovs, "br-int") as on_int, watch(host.ovs, "br-tun") as on_tun, watch(host.ovs, "br-ex") as on_ex:
        connected = host.tunbridge.log_text().count("bridge br-ex connected")
        host.ovs.vsctl("remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")
        wait_until(
            lambda: host.tunbridge.log_text().count("bridge br-ex connected") > connected, 10, "br-ex is connected"
        )
        host.assert_as_before()
        assert on_int.events() == on_tun.events() == on_ex.events() == []
    assert [host.ovs.dump(name) for name in BRIDGES] == before
