"""Flows that the switch refuses are asked for again until it takes them; nobody else waits for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.sender_process import BRIDGE, StartSender, numbered_table
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TIMEOUT = 30.0  # seconds
FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"


def limit(ovs: OvsHost, bridge: str, flows: int) -> None:
    """Let table 0 of a bridge have so many flows."""
    ovs.vsctl(
        *("--", "--id=@table", "create", "Flow_Table", f"flow_limit={flows}", "overflow_policy=refuse"),
        *("--", "set", "bridge", bridge, "flow_tables:0=@table"),
    )


def test_refused_flows_are_taken_when_there_is_room(ovs: OvsHost, start_sender: StartSender) -> None:
    """Of many flows that do not fit all are tried again at two bundles a time, and all are there when they fit."""
    sender = start_sender(retry=0.2)
    limit(ovs, BRIDGE, 10)
    sender.want(dict.fromkeys(range(1, 61), 1), 1)
    state = sender.await_generation(1)
    assert (len(state.refused), set(state.refused.values())) == (50, {FULL})
    wait_until(lambda: max(sender.state().attempts.values()) >= 3, TIMEOUT, lambda: sender.log_text())
    tried = max(sender.state().attempts.values())
    assert sender.state().bundles <= 2 * tried + 2
    sender.wait_log("bridge br0: 50 refused flows asked for again, 50 refused again: next in ")

    limit(ovs, BRIDGE, 40)
    wait_until(lambda: len(sender.state().refused) == 20, TIMEOUT, lambda: sender.log_text())
    limit(ovs, BRIDGE, 1000)
    wait_until(lambda: not sender.state().refused, TIMEOUT, lambda: sender.log_text())
    assert ovs.dump(BRIDGE) == numbered_table(*range(1, 61))
    assert sender.state().synced[-1] == [1, {}]
    sender.wait_log("bridge br0: took a flow of the owner of priority ")
    assert sender.log_text().count(" ERROR ") == 21  # twenty by name, and how many more


def test_others_are_served_while_a_flow_is_refused(ovs: OvsHost, start_sender: StartSender) -> None:
    """New wishes are sent at once, by themselves, whatever is being refused meanwhile."""
    sender = start_sender(retry=0.05)
    sender.want({1: 1, 2: 0xFFFFFF01}, 1)  # OpenFlow 1.3 has no meaning for this port
    sender.await_generation(1)
    for number in range(3, 23):
        sender.want({number: 1}, number)
        assert sender.await_generation(number).refused.keys() == {"2"}
    assert ovs.dump(BRIDGE) == numbered_table(1, *range(3, 23))
    wait_until(lambda: sender.state().attempts["2"] >= 3, TIMEOUT, "it is tried again")
    assert sender.log_text().count(" ERROR ") == 1


def test_room_that_is_made_is_used(ovs: OvsHost, start_sender: StartSender) -> None:
    """A flow that did not fit is there soon after another has gone, however long it was to wait."""
    sender = start_sender(retry=300.0)
    limit(ovs, BRIDGE, 3)
    sender.want(dict.fromkeys(range(1, 5), 1), 1)
    (refused,) = sender.await_generation(1).refused
    sender.want({1 if refused != "1" else 2: None}, 2)
    sender.await_generation(2)
    wait_until(lambda: not sender.state().refused, TIMEOUT, lambda: sender.log_text())
    assert len(ovs.dump(BRIDGE)) == 3


def test_a_full_table_takes_changes_of_what_it_has(ovs: OvsHost, start_sender: StartSender) -> None:
    """Flows that are there are replaced in a full table, among new ones that do not fit."""
    sender = start_sender()
    limit(ovs, BRIDGE, 10)
    sender.want(dict.fromkeys(range(1, 11), 1), 1)
    sender.await_generation(1)
    sender.want(dict.fromkeys(range(1, 51), 2), 2)
    state = sender.await_generation(2)
    assert sorted(map(int, state.refused)) == list(range(11, 51))
    assert ovs.dump(BRIDGE) == numbered_table(*range(1, 11), port=2)


def test_a_port_is_up_when_its_flow_is_taken(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """A port whose flow does not fit is DOWN with the reason, others are served; with room it is ACTIVE by itself."""
    controller = tunbridge()
    controller.wait_in_sync()
    host = Host(ovs, controller)
    network = new_network()
    first, second = new_port(network), new_port(network)
    host.add_networks(network)
    host.wire(first)
    host.add_ports(second)
    limit(ovs, "br-tun", len(ovs.dump("br-tun")))
    ovs.plug_many([second.device()])
    reason = f"bridge br-tun refused a flow: {FULL}"
    controller.wait_device(second.name, status="DOWN", reason=reason)
    assert controller.device(first.name)["status"] == "ACTIVE"
    (problem,) = controller.quick_status()["problems"]
    assert problem.startswith(f"{reason}: cookie=") and "(attempt " in problem and problem.endswith(" s)")

    limit(ovs, "br-tun", 1000)
    host.assert_bound(second)
    assert controller.wait_in_sync()["problems"] == []
