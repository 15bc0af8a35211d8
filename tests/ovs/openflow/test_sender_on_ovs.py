"""The one sender against a real switch: refusals, bundles that fail, a switch that hangs and one that is gone."""

from __future__ import annotations

from tests.support.host.ovs import OvsHost
from tests.support.openflow.sender_process import BRIDGE, StartSender, numbered_table
from tests.support.waiting import wait_until

BAD = 0xFFFFFF01  # a reserved port number that OpenFlow 1.3 has no meaning for
TIMEOUT = 30.0  # seconds


def installed(ovs: OvsHost) -> list[str]:
    return ovs.dump(BRIDGE)


def received(ovs: OvsHost) -> int:
    """OpenFlow messages that the switch has read since it was started."""
    return int(ovs.appctl("coverage/read-counter", "vconn_received"))


def test_a_flow_that_the_switch_refuses_costs_the_others_nothing(ovs: OvsHost, start_sender: StartSender) -> None:
    """Of 101 flows with a bad one in the middle, 100 are installed, each sent once, and the bad one is named."""
    sender = start_sender()
    sender.want({number: BAD if number == 51 else 1 for number in range(1, 102)}, 1)

    state = sender.await_generation(1)
    assert installed(ovs) == numbered_table(*(number for number in range(1, 102) if number != 51))
    assert state.refused == {"51": "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT"} == state.synced[-1][1]
    assert (state.bundles, state.flow_mods) == (1, 101)
    complaints = [line for line in sender.log_text().splitlines() if " ERROR " in line]
    assert len(complaints) == 1
    assert "a flow of the owner of priority 51: OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT: " in complaints[0]


def test_a_refused_flow_is_not_asked_for_again_with_other_wishes(ovs: OvsHost, start_sender: StartSender) -> None:
    """Later wishes neither repeat a refused flow nor believe it installed; its correction is installed."""
    sender = start_sender()
    sender.want({1: 1, 5: BAD}, 1)
    sender.await_generation(1)

    sender.want({2: 1, 5: BAD}, 2)
    state = sender.await_generation(2)
    assert (state.bundles, state.flow_mods) == (2, 3)
    assert state.refused.keys() == {"5"}

    sender.want({5: 1}, 3)
    state = sender.await_generation(3)
    assert state.refused == {}
    assert installed(ovs) == numbered_table(1, 2, 5)


def test_a_refused_flow_that_nobody_wants_any_more_is_forgotten(start_sender: StartSender) -> None:
    """A refusal ends with the wish: nothing is sent for a flow that never was, and it is reported no longer."""
    sender = start_sender()
    sender.want({1: 1, 5: BAD}, 1)
    sender.await_generation(1)
    sender.want({5: None}, 2)

    state = sender.await_generation(2)
    assert state.refused == {} == state.synced[-1][1]
    assert (state.bundles, state.flow_mods) == (1, 2)


def test_a_refused_replacement_leaves_the_flow_that_was_there(ovs: OvsHost, start_sender: StartSender) -> None:
    """A refused change of an installed flow leaves the old one, which is known to be there when it is wanted again."""
    sender = start_sender()
    sender.want({1: 1, 2: 1}, 1)
    sender.await_generation(1)
    sender.want({2: BAD}, 2)
    state = sender.await_generation(2)
    assert state.refused.keys() == {"2"}
    assert installed(ovs) == numbered_table(1, 2)

    sender.want({2: 1}, 3)
    state = sender.await_generation(3)
    assert state.refused == {}
    assert state.flow_mods == 3
    sender.want({2: None}, 4)
    sender.await_generation(4)
    assert installed(ovs) == numbered_table(1)


def test_a_bundle_that_fails_at_its_commit_is_applied_without_the_flow_at_fault(
    ovs: OvsHost, start_sender: StartSender
) -> None:
    """A full table refuses at the commit and undoes the bundle; all flows that fit are there, and counted right."""
    sender = start_sender()
    ovs.vsctl(
        *("--", "--id=@table", "create", "Flow_Table", "flow_limit=100", "overflow_policy=refuse"),
        *("--", "set", "bridge", BRIDGE, "flow_tables:0=@table"),
    )
    sender.want(dict.fromkeys(range(1, 103), 1), 1)

    state = sender.await_generation(1)
    assert set(state.refused.values()) == {"OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"}
    fitting = [number for number in range(1, 103) if str(number) not in state.refused]
    assert len(fitting) == 100
    assert installed(ovs) == numbered_table(*fitting)
    assert state.bundles == 2  # of the two that do not fit, one need not be tried

    sender.want({fitting[0]: None}, 2)
    sender.await_generation(2)
    assert installed(ovs) == numbered_table(*fitting[1:])


def test_both_kinds_of_refusal_in_one_bundle(ovs: OvsHost, start_sender: StartSender) -> None:
    """A flow that is refused at once in a bundle that then fails is not sent again, and both are told apart."""
    sender = start_sender()
    ovs.vsctl(
        *("--", "--id=@table", "create", "Flow_Table", "flow_limit=10", "overflow_policy=refuse"),
        *("--", "set", "bridge", BRIDGE, "flow_tables:0=@table"),
    )
    sender.want({**dict.fromkeys(range(1, 12), 1), 50: BAD}, 1)

    state = sender.await_generation(1)
    assert sorted(state.refused.values()) == [
        "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT",
        "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL",
    ]
    assert len(installed(ovs)) == 10
    assert (state.bundles, state.flow_mods) == (2, 12 + 10)


def test_a_switch_that_does_not_answer_is_left_and_taken_up_again(ovs: OvsHost, start_sender: StartSender) -> None:
    """A request that times out closes the connection; when the switch runs again it gets what it lacks, once."""
    sender = start_sender(request=5.0)
    sender.want({1: 1}, 1)
    sender.await_generation(1)
    with ovs.frozen_vswitchd():
        sender.want({2: 1}, 2)
        wait_until(lambda: sender.state().closed == 1, TIMEOUT, lambda: f"closed\n{sender.log_text()}")
        assert [generation for generation, _ in sender.state().synced] == [1]
        assert "did not answer within 5 s ([ovs] of_request_timeout)" in sender.log_text()
    sender.await_generation(2)
    assert installed(ovs) == numbered_table(1, 2)


def test_a_dead_peer_is_noticed_without_a_request(ovs: OvsHost, start_sender: StartSender) -> None:
    """A switch that hangs while nobody asks it anything is found by echo requests, and is in sync again after it."""
    sender = start_sender(probe=2.0)
    sender.want({1: 1}, 1)
    sender.await_generation(1)
    with ovs.frozen_vswitchd():
        wait_until(lambda: sender.state().closed == 1, TIMEOUT, lambda: f"closed\n{sender.log_text()}")
        assert "no answer to an echo request within 2 s" in sender.log_text()
    wait_until(lambda: len(sender.state().synced) == 2, TIMEOUT, lambda: f"in sync again\n{sender.log_text()}")
    assert installed(ovs) == numbered_table(1)
    assert sender.state().flow_mods == 1  # the switch had kept its flow


def test_a_live_peer_is_kept_however_long_it_is_silent(ovs: OvsHost, start_sender: StartSender) -> None:
    """Answers to echo requests keep a connection on which nothing else is said."""
    sender = start_sender(probe=2.0)
    sender.want({1: 1}, 1)
    sender.await_generation(1)
    before = received(ovs)
    wait_until(lambda: received(ovs) >= before + 5, TIMEOUT, "five echo requests")
    state = sender.state()
    assert (state.connections, state.closed) == (1, 0)
