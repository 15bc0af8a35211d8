"""Which connection is which bridge, and which ports the bridges have: sessions that come in every order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

import pytest

from controller.agent.facts.bridge_sessions import BridgeSessions
from controller.openflow.channel.limits import MAX_PORTS
from controller.openflow.channel.session import Session
from tests.support.host.deciding import OFPP_LOCAL, DecidingHost, port_desc, serial
from tests.support.logs import lines_of

BRIDGES = ("br-int", "br-tun", "br-ex")


class Datapaths(BridgeSessions):
    """Bridges that let sessions in as soon as something is told.

    :param accepted: those that were
    """

    def __init__(self, accepted: list[Session]) -> None:
        super().__init__(BRIDGES)
        self._accepted = accepted

    def set_ids(self, ids: Mapping[str, int], serials: Mapping[str, str]) -> None:
        super().set_ids(ids, serials)
        self.admit(self._accepted.append)

    def identified(self, session: Session) -> None:
        super().identified(session)
        self.admit(self._accepted.append)


def told(datapaths: Datapaths, ids: dict[str, int]) -> None:
    """The local OVSDB tells ids, and the serial numbers of these bridges."""
    datapaths.set_ids(ids, {name: serial(datapath_id) for name, datapath_id in ids.items()})


@pytest.fixture
def session() -> Iterator[Callable[[int], Session]]:
    """Makes a connection of a switch with this datapath id."""
    host = DecidingHost()
    yield host.session
    host.close()


@pytest.fixture
def accepted() -> list[Session]:
    return []


@pytest.fixture
def datapaths(accepted: list[Session]) -> Datapaths:
    return Datapaths(accepted)


def test_a_session_waits_until_its_bridge_is_known(
    datapaths: Datapaths, accepted: list[Session], session: Callable[[int], Session]
) -> None:
    """The switch may be faster than its database; a bridge that is none of ours is never let in."""
    ours, foreign = session(0x33), session(0x99)
    datapaths.identified(ours)
    datapaths.identified(foreign)
    assert (accepted, datapaths.sessions) == ([], {})
    told(datapaths, {"br-ex": 0x33, "br-other": 0x99})
    assert (accepted, datapaths.sessions) == ([ours], {"br-ex": ours})
    assert (datapaths.bridge_of(ours), datapaths.bridge_of(foreign)) == ("br-ex", None)


def test_two_bridges_with_one_id(
    datapaths: Datapaths, session: Callable[[int], Session], caplog: pytest.LogCaptureFixture
) -> None:
    """Interfaces with one MAC give two bridges one id: the more important one is served, the log says what to do."""
    with caplog.at_level(logging.ERROR):
        told(datapaths, {"br-ex": 0x11, "br-int": 0x11})
    (said,) = lines_of(caplog, "controller.agent.facts.bridge_sessions")
    assert said.startswith("bridges br-int and br-ex have the same datapath id 0000000000000011, only the first is")
    assert "ovs-vsctl set bridge br-ex other_config:datapath-id" in said
    only = session(0x11)
    datapaths.identified(only)
    assert datapaths.sessions == {"br-int": only}
    assert datapaths.twins == {"br-ex": said}


def test_a_bridge_that_cannot_be_served_is_said_once(
    datapaths: Datapaths, session: Callable[[int], Session], caplog: pytest.LogCaptureFixture
) -> None:
    """It connects again and again, by a socket of its own too; whoever only says to be it is named as any impostor."""
    ids = {"br-int": 0x11, "br-ex": 0x11}
    datapaths.set_ids(ids, {"br-int": serial(0x11), "br-ex": serial(0x33)})
    datapaths.set_ids(ids, {"br-int": serial(0x11), "br-ex": serial(0x33), "br-tun": serial(0x22)})
    for bridge in (None, "br-ex", None):
        twin = session(0x11)
        twin.handshake.serial, twin.bridge = serial(0x33), bridge
        datapaths.identified(twin)
        assert not twin.is_active
    (said,) = lines_of(caplog, "controller.agent.facts.bridge_sessions")
    assert said == datapaths.twins["br-ex"]
    impostor = session(0x11)
    impostor.handshake.serial = "guessed"
    datapaths.identified(impostor)
    assert impostor.is_active and impostor.handshake.doubt is not None
    datapaths.set_ids({**ids, "br-ex": 0x33}, {"br-int": serial(0x11), "br-ex": serial(0x33)})
    assert datapaths.twins == {}


def test_a_bridge_that_gets_another_id(datapaths: Datapaths, session: Callable[[int], Session]) -> None:
    """Its old connection is closed, and the one with the new id takes its place."""
    told(datapaths, {"br-ex": 0x33})
    old, new = session(0x33), session(0x44)
    datapaths.identified(old)
    told(datapaths, {"br-ex": 0x44})
    datapaths.identified(new)
    assert datapaths.sessions == {"br-ex": new}
    assert datapaths.closed(old) is None
    assert datapaths.closed(new) == "br-ex"
    assert datapaths.sessions == {}


def test_ports_are_kept_over_connections(datapaths: Datapaths, session: Callable[[int], Session]) -> None:
    """What a bridge has told of its ports counts until it tells anew; its own local port is none of them."""
    told(datapaths, {"br-ex": 0x33})
    one = session(0x33)
    datapaths.identified(one)
    ports = [port_desc("eth1", 1), port_desc("phy-br-ex", 2), port_desc("br-ex", OFPP_LOCAL)]
    assert datapaths.ports_listed(one, ports) == "br-ex"
    datapaths.closed(one)
    assert datapaths.ports == {"br-ex": {"eth1": 1, "phy-br-ex": 2}}
    assert datapaths.port_seen(one, port_desc("eth2", 3), True) is None  # a connection that is over
    assert (datapaths.ofport("br-ex", "phy-br-ex"), datapaths.ofport("br-ex", "eth2")) == (2, None)


def test_ports_that_come_and_go(datapaths: Datapaths, session: Callable[[int], Session]) -> None:
    """A port made anew under its name keeps its new number when the old one is told to have gone only after that."""
    told(datapaths, {"br-ex": 0x33})
    one = session(0x33)
    datapaths.identified(one)
    datapaths.ports_listed(one, [])
    assert datapaths.port_seen(one, port_desc("phy-br-ex", 2), True) == "br-ex"
    datapaths.port_seen(one, port_desc("phy-br-ex", 3), True)
    datapaths.port_seen(one, port_desc("phy-br-ex", 2), False)
    assert datapaths.ofport("br-ex", "phy-br-ex") == 3
    datapaths.port_seen(one, port_desc("phy-br-ex", 3), False)
    assert datapaths.ofport("br-ex", "phy-br-ex") is None
    assert datapaths.port_seen(one, port_desc("br-ex", OFPP_LOCAL), True) is None


def test_whoever_does_not_show_the_serial_number_waits(
    datapaths: Datapaths, accepted: list[Session], session: Callable[[int], Session]
) -> None:
    """The datapath id alone opens nothing, before the local OVSDB has the serial number and after."""
    impostor, bridge = session(0x33), session(0x33)
    impostor.handshake.serial = "None"  # what Open vSwitch says where there is none
    datapaths.identified(impostor)
    datapaths.set_ids({"br-ex": 0x33}, {})
    assert accepted == []
    assert "has no other_config:dp-sn yet" in (impostor.handshake.doubt or "")
    datapaths.identified(bridge)
    assert accepted == []
    told(datapaths, {"br-ex": 0x33})
    assert accepted == [bridge]
    assert "does not show other_config:dp-sn of that bridge" in (impostor.handshake.doubt or "")
    impostor.handshake.serial = serial(0x34)
    datapaths.identified(impostor)
    assert datapaths.sessions == {"br-ex": bridge}


def test_the_bridge_takes_the_place_of_its_old_connection(
    datapaths: Datapaths, accepted: list[Session], session: Callable[[int], Session]
) -> None:
    """A connection that is half open does not keep the bridge out, and what it still says changes nothing."""
    told(datapaths, {"br-ex": 0x33})
    old, new = session(0x33), session(0x33)
    for one in (old, new, old):
        datapaths.identified(one)
    assert accepted == [old, new]
    assert datapaths.sessions == {"br-ex": new}
    assert datapaths.port_seen(old, port_desc("eth1", 1), True) is None


def test_a_bridge_with_too_many_ports(datapaths: Datapaths, session: Callable[[int], Session]) -> None:
    """Names without end are the end of the connection, and are not kept."""
    told(datapaths, {"br-ex": 0x33})
    one = session(0x33)
    datapaths.identified(one)
    datapaths.ports_listed(one, [port_desc(f"p{number}", number) for number in range(1, MAX_PORTS + 1)])
    datapaths.port_seen(one, port_desc("p5", 70_000), True)
    assert one.is_active
    datapaths.port_seen(one, port_desc("one more", 70_001), True)
    assert not one.is_active
    assert len(datapaths.ports["br-ex"]) == MAX_PORTS
