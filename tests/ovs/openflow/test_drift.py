"""What others change on a host that is served is noticed, undone, logged with what differed, and shown by status."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import reference
from tests.support.golden import Golden
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.reference import DEVICES, DHCP, VM
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

BRIDGES = ("br-int", "br-tun")
NO_AUDIT = {"agent": {"audit_interval": 0}}


@pytest.fixture
def wired(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    """The reference host, wired, and never audited."""
    reference.reference_host(ovs)
    controller = tunbridge(options=NO_AUDIT)
    controller.apply(reference.DOCUMENT)
    for device in DEVICES:
        controller.wait_device(device.name, status="ACTIVE")
    controller.wait_in_sync()
    return controller


def drift_of(controller: Tunbridge, bridge: str) -> tuple[int, int]:
    """Times, and flows."""
    drift = controller.quick_status()["bridges"][bridge]["drift"]
    return drift["times"], drift["flows"]


def wait_repaired(controller: Tunbridge, bridge: str, times: int) -> None:
    """Wait until a bridge was repaired so often and status says that all is well."""
    wait_until(lambda: drift_of(controller, bridge)[0] >= times, 20, lambda: f"noticed\n{controller.log_tail()}")
    controller.wait_in_sync()


def test_flows_deleted_by_hand(ovs: OvsHost, wired: Tunbridge, golden: Golden) -> None:
    """``ovs-ofctl del-flows`` on either bridge: the tables are those of before, and status says what happened."""
    for bridge in BRIDGES:
        ovs.ofctl("del-flows", bridge)
        wait_repaired(wired, bridge, 1)
        golden.check(f"reference-{bridge}.flows", ovs.dump(bridge))
    assert (drift_of(wired, "br-int"), drift_of(wired, "br-tun")) == ((1, 1), (1, 6))
    status = wired.status()
    assert status["bridges"]["br-tun"]["drift"]["last_flows"] == 6
    assert status["bridges"]["br-tun"]["drift"]["repaired_at"].startswith("20")
    assert (status["counters"]["drifts"], status["counters"]["drifted_flows"]) == (2, 7)
    assert "Drift of br-tun: 6 flows found 20" in wired.command("status")


def test_a_foreign_flow_that_shadows_ours(ovs: OvsHost, wired: Tunbridge, golden: Golden) -> None:
    """A foreign flow above ours goes; an ACTIVE port stays so all the while."""
    ovs.ofctl("add-flow", "br-tun", f"priority=100,dl_dst={VM.mac},actions=drop")
    wait_repaired(wired, "br-tun", 1)
    golden.check("reference-br-tun.flows", ovs.dump("br-tun"))
    assert f"bridge br-tun: added: priority=100,dl_dst={VM.mac} actions=drop" in wired.log_text()
    assert wired.device(VM.name)["status"] == "ACTIVE"
    assert wired.log_text().count(" is up on network ") == len(DEVICES)


def test_a_tag_changed_by_hand(ovs: OvsHost, wired: Tunbridge) -> None:
    """The tag is back, others are not touched, and the log and status say what it was."""
    others = {name: version for name, version in ovs.port_versions().items() if name != VM.name}
    ovs.vsctl("set", "Port", VM.name, "tag=77")
    ovs.vsctl("wait-until", "Port", VM.name, f"tag={reference.LOCAL_VLAN}")
    said = f"device {VM.name}: tag is 77, not {reference.LOCAL_VLAN}"
    wired.wait_log(f"{said}: others have changed it, it is written again")
    ovs.vsctl("remove", "Port", VM.name, "other_config", "net_uuid")
    ovs.vsctl("wait-until", "Port", VM.name, "other_config:net_uuid!=''")
    wait_until(lambda: wired.quick_status()["drift"]["tags"]["times"] == 2, 20, "both are counted")
    assert {name: version for name, version in ovs.port_versions().items() if name != VM.name} == others
    assert wired.quick_status()["drift"]["tags"]["last"].startswith(f"device {VM.name}: other_config:net_uuid is unset")
    assert "Drift of tags: 2 times since start, last 20" in wired.command("status")


def test_a_tag_that_is_wanted_otherwise_is_no_drift(ovs: OvsHost, wired: Tunbridge) -> None:
    """Unplugging, plugging again, deleting and making a port are all writes of our own accord."""
    ovs.unplug(DHCP.name)
    wired.wait_port(DHCP.port_id or "", "DOWN")
    ovs.plug_many([DHCP])
    wired.wait_device(DHCP.name, status="ACTIVE")
    ovs.vsctl("remove", "Interface", DHCP.name, "external_ids", "iface-id")
    ovs.vsctl("wait-until", "Port", DHCP.name, "tag=4095")
    wired.wait_in_sync()
    assert wired.quick_status()["drift"] == {
        kind: {"times": 0, "found_at": None, "last": None} for kind in ("tags", "rows")
    }


def test_a_patch_port_and_fail_mode_changed_by_hand(ovs: OvsHost, wired: Tunbridge) -> None:
    """The patch is made again, fail_mode set again with all flows, and the log and status say so."""
    flows = ovs.dump("br-tun")
    ovs.vsctl("del-port", "br-int", "patch-tun")
    made = "bridge br-int: patch port patch-tun to patch-int made"
    wait_until(lambda: wired.quick_status()["drift"]["rows"]["last"] == made, 20, lambda: wired.log_tail())
    assert any(" WARNING " in line and made in line for line in wired.log_text().splitlines())
    wired.wait_in_sync()
    assert wired.quick_status()["drift"]["rows"]["times"] == 1
    ovs.vsctl("set-fail-mode", "br-tun", "standalone")
    wait_until(lambda: wired.quick_status()["drift"]["rows"]["times"] == 2, 20, lambda: wired.log_tail())
    assert ovs.row("Bridge", "br-tun")["fail_mode"] == "secure"
    # Open vSwitch replaces all flows by one of its own with each change of fail_mode, and tells of it
    wait_until(lambda: ovs.dump("br-tun") == flows, 20, lambda: f"all flows again\n{wired.log_tail()}")


@pytest.mark.parametrize("interval", [0, 1])
def test_the_audit_is_the_configured_one(tunbridge: Callable[..., Tunbridge], interval: int) -> None:
    """``[agent] audit_interval``: every bridge is compared again and again while nothing happens, or never."""
    controller = tunbridge(options={"agent": {"audit_interval": interval}})

    def compared() -> int:
        return min(bridge["drift"]["comparisons"] for bridge in controller.quick_status()["bridges"].values())

    controller.wait_in_sync()
    if interval:
        wait_until(lambda: compared() >= 3, 20, lambda: f"compared\n{controller.log_tail()}")
    else:
        assert compared() == 1
    assert controller.quick_status()["counters"]["drifts"] == 0
