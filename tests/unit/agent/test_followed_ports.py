"""A host that follows of the topology only what concerns it: what it asks for, and what waits for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from controller.agent import host_agent
from controller.agent.events import Event, PortSeen
from controller.agent.facts import followed_ports
from controller.agent.restore.restore_guard import SavedState
from controller.openflow.channel.session import Session
from controller.vswitch.tagging import DEAD, wired
from tests.support.host.deciding import NET, PORT, TAP, DecidingHost, device, devices, port_desc, tagged
from topology.model import Port, PortStatus
from topology.source import PortInterest, TopologyBatch, TopologyVersion

EMPTY = TopologyBatch(True)
ASKED = PortInterest({PORT.id: None})
FOUND = TopologyBatch(False, {NET.id: NET}, {PORT.id: PORT})
ANSWERED = TopologyBatch(False, answered=frozenset({PORT.id}))
OTHER = replace(PORT, id="99f91280-0000-4000-8000-000000000002", mac_address="fa:16:3e:00:00:02")

Make = Callable[..., DecidingHost]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[DecidingHost] = []

    def host(saved: SavedState = SavedState()) -> DecidingHost:  # noqa: B008  # immutable
        made.append(DecidingHost(saved, is_partial=True))
        return made[-1]

    yield host
    for one in made:
        one.close()


def serving(host: DecidingHost, batch: TopologyBatch = EMPTY) -> Session:
    """Have the host know all that there is; the session of br-int."""
    host.step(devices(complete=True), batch)
    session = host.connect("br-int", ("patch-tun", 6))
    host.connect("br-tun", ("patch-int", 1))
    host.confirm()
    return session


def plug(host: DecidingHost, session: Session) -> None:
    host.step(devices(device()))
    host.seen(session, TAP, 5)


def test_nothing_is_touched_before_all_is_answered_that_was_asked_at_the_start(make: Make) -> None:
    """What ran here before the restart is asked for at once, and what is plugged in as soon as it is known."""
    host = make(SavedState(TopologyVersion("00000000-0000-4000-8000-0000000000e0", 1), {NET.id: NET}, {PORT.id: PORT}))
    assert host.interests == [PortInterest({PORT.id: NET.id})]
    host.step(devices(tagged(1), device(name="tap2", port_name="tap2", iface_id=OTHER.id), complete=True))
    assert host.interests[1:] == [PortInterest({OTHER.id: None})]
    host.connect("br-int", (TAP, 5), ("tap2", 7))
    known = TopologyBatch(True, {NET.id: NET}, {PORT.id: PORT}, answered=frozenset({PORT.id}))
    host.step(known)
    assert (host.checks, host.bridges["br-int"].generation) == (0, 0)
    host.step(TopologyBatch(False, answered=frozenset({OTHER.id})))
    assert host.checks == 1
    assert host.bridges["br-int"].generation > 0
    assert host.device().reason != host.device(OTHER.id).reason == "the topology has no such port"


def test_a_device_waits_until_the_topology_tells_of_its_port(make: Make) -> None:
    host = make()
    plug(host, serving(host))
    assert host.interests == [ASKED]
    assert host.device().status is PortStatus.DOWN
    assert host.device().reason == "the topology has not told yet whether it has such a port"
    assert host.tags == []
    assert "priority=2,in_port=5 actions=drop" in host.bridges["br-int"].table
    host.step(FOUND)
    assert host.tags == [{TAP: wired(NET, 1)}]
    assert host.device().vlan == 1


def test_an_answer_that_comes_at_once_is_waited_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what follows from the device and from its port is done together; not if there is nothing to wait for."""
    monkeypatch.setattr(host_agent, "_FOR_AN_ANSWER", 3600.0)
    host = make()
    session = serving(host)
    waited: list[float] = []
    answers = [[PortSeen(session, port_desc(TAP, 5), present=True)], [FOUND]]

    def more(seconds: float) -> list[Event]:
        waited.append(seconds)
        return answers[len(waited) - 1]

    before = host.bridges["br-int"].generation
    host.agent.handle([devices(device())], more)
    assert host.tags == [{TAP: wired(NET, 1)}]
    assert host.bridges["br-int"].generation == before + 1
    assert len(waited) == 2
    host.agent.handle([devices(device(name="tap2", port_name="tap2"))], more)
    assert len(waited) == 2


def test_an_answer_that_does_not_come_is_not_waited_for_for_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_agent, "_FOR_AN_ANSWER", 0.0)
    host = make()
    serving(host)
    host.agent.handle([devices(device())], lambda seconds: pytest.fail(f"{seconds} s"))
    assert host.device().reason == "the topology has not told yet whether it has such a port"


def test_a_port_that_is_not_there_is_said_once_that_is_known(make: Make) -> None:
    host = make()
    plug(host, serving(host))
    host.step(ANSWERED)
    assert host.device().reason == "the topology has no such port"
    assert host.tags == [{TAP: DEAD}]
    host.step(FOUND)
    assert host.tags[1:] == [{TAP: wired(NET, 1)}]


def test_a_device_that_waits_for_too_long_gets_the_dead_vlan(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_ports, "PATIENCE", 3600.0)
    host = make()
    plug(host, serving(host))
    assert host.agent.due is not None
    assert host.tags == []
    monkeypatch.setattr(followed_ports, "PATIENCE", 0.0)
    other = make()
    plug(other, serving(other))
    other.step()
    assert other.tags == [{TAP: DEAD}]
    assert other.device().reason == "the topology has not told yet whether it has such a port"
    other.step(FOUND)
    assert other.tags[1:] == [{TAP: wired(NET, 1)}]


def test_a_port_that_is_known_already_does_not_wait(make: Make) -> None:
    host = make()
    session = serving(host, TopologyBatch(True, {NET.id: NET}, {PORT.id: PORT, OTHER.id: OTHER}))
    plug(host, session)
    assert host.interests == [PortInterest(known=frozenset({PORT.id}))]
    assert host.tags == [{TAP: wired(NET, 1)}]


def test_one_that_is_left_out_just_then_is_asked_for_again(make: Make) -> None:
    """What is followed may be changing while the device is plugged in: that the port is gone is not known then."""
    host = make()
    plug(host, serving(host, TopologyBatch(True, {NET.id: NET}, {PORT.id: PORT})))
    host.step(TopologyBatch(False, {NET.id: None}, {PORT.id: None}))
    assert host.interests[1:] == [ASKED]
    assert host.device().reason == "the topology has not told yet whether it has such a port"
    assert DEAD not in [tag for tags in host.tags for tag in tags.values()]
    host.step(FOUND, ANSWERED)
    host.step(TopologyBatch(False, ports={PORT.id: None}))
    assert host.device().reason == "the topology has no such port"


def test_what_is_unplugged_is_followed_while_it_was_last_bound_here(make: Make) -> None:
    host = make()
    session = serving(host)
    plug(host, session)
    host.step(FOUND, ANSWERED)
    host.seen(session, TAP, 5, present=False)
    host.step(replace(devices(), devices={TAP: None}))
    assert host.interests == [ASKED]
    host.step(TopologyBatch(False, ports={PORT.id: replace(PORT, host="host2")}))
    assert host.interests[1:] == [PortInterest(dropped=frozenset({PORT.id}))]


def test_what_was_never_bound_is_not_followed_without_a_device(make: Make) -> None:
    host = make()
    session = serving(host)
    plug(host, session)
    host.step(ANSWERED)
    host.seen(session, TAP, 5, present=False)
    host.step(replace(devices(), devices={TAP: None}))
    assert host.interests == [ASKED, PortInterest(dropped=frozenset({PORT.id}))]


@pytest.mark.parametrize("is_shared", [False, True])
def test_that_an_address_is_nowhere_else_is_believed_once_all_is_told(make: Make, is_shared: bool) -> None:
    """Other ports of the network come later than the port itself, and may share the address."""
    mine: Port = replace(PORT, requested_host="host1")
    other = replace(OTHER, allowed_macs=(PORT.mac_address,)) if is_shared else OTHER
    host = make()
    plug(host, serving(host))
    host.step(TopologyBatch(False, {NET.id: NET}, {PORT.id: mine}))
    host.step(devices(tagged(1)))
    view = host.agent._networks
    assert not view.view.ports[PORT.id].is_here
    host.step(TopologyBatch(False, ports={OTHER.id: other}, answered=frozenset({PORT.id})))
    assert view.view.ports[PORT.id].is_here is not is_shared
