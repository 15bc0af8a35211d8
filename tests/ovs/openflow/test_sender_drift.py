"""What others do to the flows of a real switch is noticed and undone by the sender, whichever way it can be noticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.openflow.relay import Relay
from tests.support.openflow.sender_process import BRIDGE, SenderProcess, StartSender, numbered_table
from tests.support.waiting import wait_until

TIMEOUT = 30.0  # seconds
FLOWS = dict.fromkeys(range(1, 6), 1)
TABLE = numbered_table(*FLOWS)
MULTIPART_REPLY = 19
PAUSED, RESUMED = (bytes.fromhex(f"04040010000000004f4e4600{kind:08x}") for kind in (1871, 1872))
MONITOR_TYPE, UNKNOWN_TYPE = bytes.fromhex("4f4e46000000074e"), bytes.fromhex("4f4e460000000fff")


def repaired(ovs: OvsHost, sender: SenderProcess, times: int) -> None:
    """Wait until drift was found so often and nothing of it is left."""

    def done() -> bool:
        return sender.state().drift[0] >= times and ovs.dump(BRIDGE) == TABLE

    wait_until(done, TIMEOUT, lambda: f"repaired\n{ovs.dump(BRIDGE)}\n{sender.log_text()}")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("del-flows", BRIDGE), "5 deleted, 0 changed, 0 added"),
        (("del-flows", BRIDGE, "in_port=3"), "1 deleted, 0 changed, 0 added"),
        (("mod-flows", BRIDGE, "in_port=2,actions=drop"), "0 deleted, 1 changed, 0 added"),
        (("add-flow", BRIDGE, "priority=2,in_port=2,actions=NORMAL"), "0 deleted, 1 changed, 0 added"),
        (("add-flow", BRIDGE, "priority=500,in_port=2,actions=drop"), "0 deleted, 0 changed, 1 added"),
        (("add-flow", BRIDGE, "priority=500,arp,arp_tpa=192.0.2.1,actions=drop"), "0 deleted, 0 changed, 1 added"),
    ],
)
def test_what_others_do_is_undone_when_the_switch_tells(
    ovs: OvsHost, start_sender: StartSender, command: tuple[str, ...], said: str
) -> None:
    """Flows deleted, changed, replaced and added by hand are as they were, without an audit, and the log says what."""
    sender = start_sender()
    sender.want(FLOWS, 1)
    assert sender.await_generation(1).is_monitored
    ovs.ofctl(*command)
    repaired(ovs, sender, 1)
    sender.wait_log("bridge br0 repaired: it has its 5 flows")
    assert f"bridge br0: others have changed its flows (the switch told of it): {said}" in sender.log_text()
    assert sender.state().drift == (1, sum(int(word) for word in said.split() if word.isdigit()))


def test_drift_is_said_in_the_syntax_of_ovs_ofctl(ovs: OvsHost, start_sender: StartSender) -> None:
    """Each flow is named with what it was and what stood in its place; of very many, some are."""
    sender = start_sender()
    sender.want(FLOWS, 1)
    sender.await_generation(1)
    ovs.ofctl("add-flow", BRIDGE, "priority=2,in_port=2,cookie=7,actions=NORMAL")
    repaired(ovs, sender, 1)
    log = sender.log_text()
    mark = "cookie=0x7b1d010000000000, "
    assert f": changed: {mark}priority=2,in_port=2 actions=output:1, now cookie=0x7, priority=2,in_port=2" in log

    ovs.ofctl("--bundle", "add-flows", BRIDGE, _file(ovs, (f"priority=9,in_port={n},actions=drop" for n in range(50))))
    repaired(ovs, sender, 2)
    log = sender.log_text()
    assert log.count(": added: priority=9,in_port=") == 20
    assert "bridge br0: and 30 more" in log


def _file(ovs: OvsHost, lines: Iterator[str]) -> str:
    path = ovs.directory / "flows.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_our_own_changes_are_no_drift(ovs: OvsHost, start_sender: StartSender) -> None:
    """Adding, replacing and deleting by ourselves is neither drift nor a reason to look for it."""
    sender = start_sender()
    sender.want(dict.fromkeys(range(1, 300), 1), 1)
    sender.await_generation(1)
    sender.want(dict.fromkeys(range(1, 300), 2), 2)
    sender.await_generation(2)
    sender.want(dict.fromkeys(range(6, 300)) | FLOWS, 3)
    sender.await_generation(3)
    ovs.ofctl("dump-flows", BRIDGE)  # what the switch had to tell before, it has told by now
    state = sender.state()
    assert (state.drift, state.pause) == ((0, 0), 0.0)  # there was no comparison to make a pause after
    assert ovs.dump(BRIDGE) == TABLE


def test_flows_of_others_stay_where_they_are_kept(ovs: OvsHost, start_sender: StartSender) -> None:
    """Where foreign flows stay, they do not even cause a look; a flow of ours is restored all the same."""
    sender = start_sender(keep_foreign=1)
    sender.want(FLOWS, 1)
    sender.await_generation(1)
    ovs.ofctl("add-flow", BRIDGE, "priority=500,in_port=2,actions=drop")
    ovs.ofctl("add-flow", BRIDGE, "priority=501,arp,actions=drop")
    ovs.ofctl("del-flows", BRIDGE, "arp")
    assert sender.state().pause == 0.0
    ovs.ofctl("del-flows", BRIDGE, "cookie=0x7b1d010000000000/-1,in_port=3")
    wait_until(lambda: len(ovs.dump(BRIDGE)) == 6, TIMEOUT, lambda: f"repaired\n{sender.log_text()}")
    assert [line for line in ovs.dump(BRIDGE) if line not in TABLE] == ["priority=500,in_port=2 actions=drop"]
    assert sender.state().drift == (1, 1)
    ovs.ofctl("add-flow", BRIDGE, "cookie=0x7b1d010000000000,priority=600,actions=drop")  # with our mark, but not ours
    wait_until(lambda: len(ovs.dump(BRIDGE)) == 6, TIMEOUT, lambda: f"repaired\n{sender.log_text()}")
    assert sender.state().drift == (2, 2)


def test_a_quarrel_costs_less_and_less(ovs: OvsHost, start_sender: StartSender) -> None:
    """Who undoes each repair waits longer and longer for the next; when that ends, all is repaired."""
    sender = start_sender()
    sender.want(FLOWS, 1)
    sender.await_generation(1)

    def undo() -> bool:
        ovs.ofctl("del-flows", BRIDGE)
        return sender.state().pause >= 1.6

    wait_until(undo, TIMEOUT, lambda: f"a pause\n{sender.log_text()}", interval=0)
    sender.wait_log("others change its flows again and again: repairs wait longer and longer, up to 60 s")
    since, times, bundles = time.monotonic(), sender.state().drift[0], sender.state().bundles
    for _ in range(10):
        ovs.ofctl("del-flows", BRIDGE)
        ovs.ofctl("add-flow", BRIDGE, "priority=7,actions=drop")
    state = sender.state()
    pauses = 1 + int((time.monotonic() - since) / 1.6)  # that were over; each is longer than the one before
    assert state.drift[0] <= times + pauses
    assert state.bundles <= bundles + 2 * pauses  # one that adds and one that removes
    repaired(ovs, sender, times + 1)


@pytest.mark.parametrize("state", [PAUSED, RESUMED])
def test_a_switch_that_could_not_tell_is_compared(ovs: OvsHost, start_sender: StartSender, state: bytes) -> None:
    """What the switch has dropped is found, without an audit, when it says that it drops or goes on."""

    def drop(message: bytes) -> bytes:
        return state if message[1] == MULTIPART_REPLY and message[4:8] == bytes(4) else message

    with closing(Relay(to_controller=drop)) as relay:
        sender = start_sender(relay.to)
        sender.want(FLOWS, 1)
        sender.await_generation(1)
        ovs.ofctl("del-flows", BRIDGE)
        repaired(ovs, sender, 1)


def test_a_change_during_the_first_comparison(ovs: OvsHost, start_sender: StartSender) -> None:
    """What changes between the first dump and what follows it is told, since the monitor is asked for before."""
    waiting: list[str] = []

    def change(message: bytes) -> bytes:
        if _is_dump(message) and waiting:
            ovs.ofctl(waiting.pop(), BRIDGE)
        return message

    with closing(Relay(to_controller=change)) as relay:
        sender = start_sender(relay.to)
        sender.want(FLOWS, 1)
        sender.await_generation(1)
        waiting.append("del-flows")
        ovs.appctl("bridge/reconnect", BRIDGE)
        sender.wait_log("in sync: 5 flows, 0 written")
        repaired(ovs, sender, 1)
        assert not waiting


def test_a_change_during_a_comparison(ovs: OvsHost, start_sender: StartSender) -> None:
    """What is told after a dump was asked for, and may not be in it, is compared again."""
    steps = ["tell", "change"]

    def change(message: bytes) -> bytes:
        if message[1] == MULTIPART_REPLY and message[4:8] == bytes(4):  # what the monitor tells
            return PAUSED if steps and steps.pop(0) == "tell" else b""
        if _is_dump(message) and steps == ["change"]:
            ovs.ofctl("del-flows", BRIDGE)
            steps.clear()
            return PAUSED + message
        return message

    with closing(Relay(to_controller=change)) as relay:
        sender = start_sender(relay.to)
        sender.want({}, 1)
        sender.await_generation(1)
        ovs.ofctl("add-flow", BRIDGE, "priority=500,actions=drop")
        wait_until(lambda: not steps and not ovs.dump(BRIDGE), TIMEOUT, "compared")
        wait_until(lambda: sender.state().pause >= 0.2, TIMEOUT, lambda: f"twice\n{sender.log_text()}")


def _is_dump(message: bytes) -> bool:
    return message[1] == MULTIPART_REPLY and message[8:10] == b"\0\1"


def test_a_switch_without_a_monitor_is_audited(ovs: OvsHost, start_sender: StartSender) -> None:
    """Where the switch refuses the monitor, that is said once, and drift is found by the audit."""
    with closing(Relay(to_switch=lambda message: message.replace(MONITOR_TYPE, UNKNOWN_TYPE))) as relay:
        sender = start_sender(relay.to, audit=0.5)
        sender.want(FLOWS, 1)
        assert not sender.await_generation(1).is_monitored
        ovs.ofctl("del-flows", BRIDGE)
        repaired(ovs, sender, 1)
        sender.wait_log("bridge br0: others have changed its flows (the audit found it): 5 deleted")
        ovs.appctl("bridge/reconnect", BRIDGE)
        wait_until(lambda: sender.state().connections == 2, TIMEOUT, "connected again")
        sender.wait_log("in sync: 5 flows, 0 written")
        line = "bridge br0 cannot tell when others change its flows (OFPET_BAD_REQUEST/"
        assert sender.log_text().count(line) == 1
        assert "it is compared every 0.5 s ([agent] audit_interval)" in sender.log_text()
