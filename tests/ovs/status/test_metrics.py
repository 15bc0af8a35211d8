"""``/metrics`` of a host's controller on a real Open vSwitch."""

from __future__ import annotations

from collections.abc import Callable

from controller.agent.port_states import BindingStage
from controller.status.metrics_catalogue import catalogue
from tests.support import reference
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.waiting import wait_until

BINDING = "tunbridge_port_binding_duration_seconds"
STAGE = "tunbridge_port_binding_stage_duration_seconds"


def test_a_host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """What is told is what is so: flows, ports, drift that somebody makes, a row that cannot be used, an outage."""
    port = free_tcp_port()
    controller = tunbridge(options={"metrics": {"listen_port": port, "traffic": "none"}})
    controller.apply(reference.DOCUMENT)
    ovs.plug_many([reference.VM, reference.DHCP])
    for device in (reference.VM, reference.DHCP):
        controller.wait_device(device.name, status="ACTIVE")
    status = controller.wait_in_sync()

    def becomes(expected: str, predicate: Callable[[Scrape], bool]) -> Scrape:
        found = wait_until(lambda: one if predicate(one := Scrape(port)) else None, 20, expected)
        assert found is not None
        return found

    scrape = becomes("in sync", lambda one: one.value("tunbridge_in_sync") == 1)
    declared = [*catalogue()["process"], *catalogue()["controller"]]
    assert scrape.types == {metric.name: metric.kind.value for metric in declared}
    assert scrape.labels == {metric.name: set(metric.labels) for metric in declared}
    for bridge, its in status["bridges"].items():
        assert scrape.value("tunbridge_flows_desired", bridge=bridge) == its["flows"]["desired"]
        assert scrape.value("tunbridge_flows_installed", bridge=bridge) == its["flows"]["installed"]
        assert scrape.value("tunbridge_openflow_connected", bridge=bridge) == 1
        assert scrape.value("tunbridge_flow_comparison_duration_seconds", bridge=bridge) > 0
    assert scrape.sum("tunbridge_flow_mods_total") == status["counters"]["flow_mods"]
    assert scrape.value("tunbridge_ports", status="ACTIVE") == 2
    assert scrape.value(f"{BINDING}_count") == scrape.value(f"{BINDING}_bucket", le="+Inf") == 2
    assert 0 < scrape.value(f"{BINDING}_sum") < 60
    scrape = becomes("two are reported", lambda one: one.value(f"{STAGE}_count", stage="reported") == 2)
    assert {scrape.value(f"{STAGE}_count", stage=one.value) for one in BindingStage} == {2}
    first = (scrape.value(f"{STAGE}_sum", stage=one) for one in ("decided", "flows", "sending"))
    assert sum(first) <= scrape.value(f"{BINDING}_sum") * 1.000001
    assert scrape.value("tunbridge_networks") == len({port["network_id"] for port in status["ports"]})
    assert scrape.value("tunbridge_events_total", event="port-active") == 2
    assert scrape.value("tunbridge_journal_events") == scrape.sum("tunbridge_events_total")
    for bridge in status["bridges"]:
        took = "tunbridge_bundle_duration_seconds_count"
        assert 0 < scrape.value(took, bridge=bridge) <= scrape.value("tunbridge_bundles_total", bridge=bridge)
    assert scrape.value("tunbridge_controller_responding") == 1

    ovs.ofctl("del-flows", "br-tun")
    scrape = becomes("drift is told", lambda one: one.value("tunbridge_flow_drifts_total", bridge="br-tun") == 1)
    assert (
        scrape.value("tunbridge_drifted_flows_total", bridge="br-tun")
        == status["bridges"]["br-tun"]["flows"]["desired"]
    )
    becomes("its repair is told", lambda one: one.value("tunbridge_flow_repairs_total", bridge="br-tun") == 1)
    ovs.vsctl("set", "Port", reference.VM.name, "tag=77")
    becomes("a tag is told", lambda one: one.value("tunbridge_row_drifts_total", rows="tags") == 1)
    controller.topology_transact(
        {"op": "update", "table": "Port", "where": [["id", "==", reference.VM.port_id]], "row": {"mac_address": "?"}}
    )
    scrape = becomes("a bad row", lambda one: one.value("tunbridge_quarantined", what="topology_rows") >= 1)
    assert (scrape.value("tunbridge_in_sync"), scrape.value("tunbridge_problems") >= 1) == (0, True)
    ovs.stop_vswitchd()
    becomes("an outage", lambda one: one.sum("tunbridge_openflow_connected") == 0)
