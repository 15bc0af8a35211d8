"""Where a MAC address is now is announced again and again for a while, and only the newest place of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from os_ken.lib import hub

from apps.framework.pipeline import BridgeRole
from controller.agent.tunnels import port_moves
from controller.agent.tunnels.port_moves import MacAnnouncement, MacAnnouncer
from controller.openflow.wire.messages import frame_to_itself
from tests.support.waiting import wait_until
from topology.errors import OpenFlowError

TUN, INT = BridgeRole.TUNNEL, BridgeRole.INTEGRATION
ONE, TWO = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"


class Session:
    """Notes what it has to pass in, as port and frame."""

    def __init__(self) -> None:
        self.passed: list[tuple[int, bytes]] = []
        self.is_closed = False

    def pass_in(self, in_port: int, frame: bytes) -> None:
        if self.is_closed:
            raise OpenFlowError("closed")
        self.passed.append((in_port, frame))


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def br_int() -> Session:
    return Session()


@pytest.fixture
def announcer(session: Session, br_int: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[MacAnnouncer]:
    """A running one that announces three times; the last time of each is far away."""
    monkeypatch.setattr(port_moves, "REPEATED", (0.0, 0.05, 3600.0))
    made = MacAnnouncer({BridgeRole.TUNNEL: session, BridgeRole.INTEGRATION: br_int}.get)  # type: ignore[arg-type,return-value]
    thread = hub.spawn(made.run)
    yield made
    made.stop()
    hub.joinall([thread])


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(lambda: condition() or hub.sleep(0.005), 20, what)


def test_each_is_announced_at_its_times(announcer: MacAnnouncer, session: Session) -> None:
    announcer.announce(MacAnnouncement(TUN, 3, 5, ONE))
    announcer.announce(MacAnnouncement(TUN, 4, 6, TWO))
    until(lambda: len(session.passed) >= 4, "both were announced twice")
    expected = [(3, frame_to_itself(ONE, 5)), (4, frame_to_itself(TWO, 6))]
    assert sorted(session.passed) == sorted(expected * 2)


def test_the_newest_place_counts(announcer: MacAnnouncer, session: Session) -> None:
    """It begins anew, and where the address was before is announced no more."""
    announcer.announce(MacAnnouncement(TUN, 3, 5, ONE))
    until(lambda: len(session.passed) >= 2, "the first place was announced twice")
    announcer.announce(MacAnnouncement(TUN, 7, 5, ONE))
    until(lambda: len(session.passed) >= 4, "the second was")
    assert [port for port, _ in session.passed] == [3, 3, 7, 7]


def test_one_that_has_come_back_is_announced_to_br_int_alone(
    announcer: MacAnnouncer, session: Session, br_int: Session
) -> None:
    """Behind its device, whose Port has the tag; br-tun hears no more of where it was."""
    announcer.announce(MacAnnouncement(TUN, 3, 5, ONE))
    until(lambda: session.passed, "br-tun was told of the other host")
    announcer.announce(MacAnnouncement(INT, 9, 5, ONE))
    until(lambda: len(br_int.passed) >= 2, "br-int was told twice")
    told = len(session.passed)
    assert br_int.passed == [(9, frame_to_itself(ONE, None))] * 2
    announcer.announce(MacAnnouncement(TUN, 4, 6, TWO))
    until(lambda: len(session.passed) >= told + 2, "br-tun was told of another address")
    assert {frame for _, frame in session.passed[told:]} == {frame_to_itself(TWO, 6)}


def test_one_that_is_nowhere_is_announced_no_more(announcer: MacAnnouncer, session: Session) -> None:
    announcer.announce(MacAnnouncement(TUN, 3, 5, ONE))
    until(lambda: session.passed, "it was announced")
    announcer.announce(MacAnnouncement(INT, None, 5, ONE))
    announcer.announce(MacAnnouncement(TUN, 4, 6, TWO))
    until(lambda: (4, frame_to_itself(TWO, 6)) in session.passed, "another was")
    told = session.passed.count((3, frame_to_itself(ONE, 5)))
    until(lambda: session.passed.count((4, frame_to_itself(TWO, 6))) >= 2, "that one was announced again")
    assert session.passed.count((3, frame_to_itself(ONE, 5))) == told


def test_a_connection_that_ends_is_no_reason_to_end(announcer: MacAnnouncer, session: Session) -> None:
    session.is_closed = True
    announcer.announce(MacAnnouncement(TUN, 3, 5, ONE))
    hub.sleep(0.01)
    session.is_closed = False
    announcer.announce(MacAnnouncement(TUN, 4, 6, TWO))
    until(lambda: any(port == 4 for port, _ in session.passed), "it goes on")
