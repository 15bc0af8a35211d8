"""The os-ken application of examples/: loaded by its name, told of bridges, its flow stays as long as it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.framework.cookie import others_cookie
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

MODULE = "flow_statistics"
COOKIE = f"cookie={others_cookie(MODULE) | 0x806:#x}"
FLOW = "priority=50000"

ONCE = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, set_ev_cls


class Once(OSKenApp):
    done = False

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def there(self, event):
        dp, parser = event.msg.datapath, event.msg.datapath.ofproto_parser
        if dp.name == "br-int" and not Once.done:
            Once.done = True
            for number in range(3):
                dp.send_msg(parser.OFPFlowMod(dp, table_id=210, priority=number, cookie=dp.cookie))
        elif dp.name == "br-int":
            dp.send_msg(parser.OFPFlowMod(dp, table_id=211, cookie=dp.cookie))
"""
"""Installs three flows, but not again, and another each time but the first."""


@pytest.fixture
def host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path) -> Iterator[Host]:
    environment = {
        "PYTHONPATH": f"{ROOT / 'examples' / 'applications'}:{tmp_path}",
        "FLOW_STATISTICS_INTERVAL": "0.1",
        "FLOW_STATISTICS_FILE": str(tmp_path / "statistics"),
    }
    (tmp_path / "once_app.py").write_text(ONCE)
    controller = tunbridge(environment=environment, options={"DEFAULT": {"os_ken_apps": f"{MODULE}, once_app"}})
    controller.wait_in_sync()
    yield Host(ovs, controller)


def wait_told(host: Host, **expected: object) -> dict[str, Any]:
    """Until status says this of the application."""

    def told() -> dict[str, Any]:
        one, *_ = host.tunbridge.quick_status().get("applications") or [{}]
        return one if one == {**one, **expected} and one else {}

    return wait_until(told, 20, lambda: f"{expected}: {host.tunbridge.quick_status().get('applications')}")


def lines(tmp_path: Path, bridge: str, key: str) -> list[Any]:
    file = tmp_path / "statistics"
    told = [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line[key] for line in told if line["bridge"] == bridge and key in line]


def test_a_collector_of_flow_statistics(host: Host, tmp_path: Path) -> None:
    """It has the counters of flows and ports of each bridge, and what its own flow has counted passes as ever."""
    network = new_network()
    host.add_networks(network)
    one, two = new_port(network), new_port(network)
    host.wire(one, two)
    wait_told(host, name=MODULE, state="running", reason=None, flows={"br-int": 1}, problems=[])
    (flow,) = host.wait_flows("br-int", FLOW, 1)
    assert "resubmit(,0)" in flow
    wait_until(lambda: one.name in lines(tmp_path, "br-int", "ports")[-1], 20, "it knows the device by its name")
    wait_until(lambda: len(lines(tmp_path, "br-tun", "flows")) > 1, 20, "br-tun is asked again and again")
    traced = host.ovs.appctl("ofproto/trace", "br-int", f"in_port={one.name},arp,dl_src={one.mac},dl_dst={two.mac}")
    assert traced.index("50000") < traced.index("NORMAL")
    frame = two.mac.replace(":", "") + one.mac.replace(":", "") + "0806" + "0001080006040001" + "00" * 38
    host.ovs.appctl("netdev-dummy/receive", one.name, frame)
    wait_until(lambda: (lines(tmp_path, "br-int", "arp")[-1] or 0) > 0, 20, "it has counted the ARP frame")
    assert host.tunbridge.flows("br-int", "diff") == []
    assert any(COOKIE in line for line in host.tunbridge.flows("br-int"))
    assert "flow_statistics" in host.tunbridge.command("status")
    host.tunbridge.wait_in_sync()


def test_flows_outlive_whatever_is_not_the_applications_end(host: Host) -> None:
    """A resync, a new connection, a restart of the controller and of Open vSwitch, and somebody who deletes them."""
    host.wait_flows("br-int", FLOW, 1)
    host.wait_flows("br-int", "table=210", 3)
    wait_told(host, flows={"br-int": 1})

    host.ovs.ofctl("add-flow", "br-int", "priority=77,actions=drop")  # a comparison of all flows
    host.wait_flows("br-int", "priority=77", 0)
    host.wait_flows("br-int", FLOW, 1)
    host.ovs.ofctl("del-flows", "br-int", f"{COOKIE}/-1")
    host.wait_flows("br-int", FLOW, 1)
    host.tunbridge.wait_log("flows of os-ken applications put back: 1")

    host.ovs.restart_vswitchd()
    host.wait_flows("br-int", FLOW, 1)
    host.wait_flows("br-int", "table=210", 3)
    host.wait_flows("br-int", "table=211", 1)
    host.tunbridge.wait_in_sync()

    host.tunbridge.restart()
    host.tunbridge.wait_in_sync()
    host.wait_flows("br-int", FLOW, 1)
    host.wait_flows("br-int", "table=210", 3)


def test_flows_go_when_it_is_loaded_no_more(host: Host) -> None:
    """And whatever carries the mark of one that never was."""
    host.wait_flows("br-int", FLOW, 1)
    strange = f"cookie={others_cookie('somebody_else'):#x},table=201,priority=5,actions=drop"
    host.ovs.ofctl("add-flow", "br-int", strange)
    host.wait_flows("br-int", "table=201", 0)
    file = host.tunbridge.config_file
    file.write_text(file.read_text().replace(f"os_ken_apps = {MODULE}, once_app", ""))
    host.tunbridge.restart()
    host.wait_flows("br-int", FLOW, 0)
    status = host.tunbridge.wait_in_sync()
    assert status["applications"] == []


def test_a_dry_run_leaves_its_flows_where_they_are(host: Host) -> None:
    host.wait_flows("br-int", FLOW, 1)
    host.tunbridge.stop()
    planned = host.tunbridge.command("run", "--dry-run")
    assert FLOW not in planned
    host.tunbridge.start()
    host.tunbridge.wait_in_sync()
