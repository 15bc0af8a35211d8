"""The worker that decides, from events to what it hands out: flows, tags, port states, bridge checks."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

import pytest

from controller.agent import change_log
from controller.agent.events import Closed, Identified, PortsListed
from controller.openflow.channel.session import Session
from controller.runtime.host_events import PORT_MOVED
from controller.vswitch.device import Device
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.tagging import DEAD, wired
from tests.support.host.deciding import (
    CLAIM,
    DATAPATHS,
    NET,
    PORT,
    SERIALS,
    TAP,
    TOPOLOGY,
    DecidingHost,
    device,
    devices,
    tagged,
)
from topology.model import Network, NetworkType, Port, PortStatus
from topology.source import PortReport, RowProblem, TopologyBatch

DROP_TAP = "priority=2,in_port=5 actions=drop"
SIX_MINUS_TWO = [
    "priority=1 actions=drop",
    "priority=3,tun_id=0x2,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 "
    "actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1",
    "priority=3,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79 "
    "actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL",
    "priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL",
]


@pytest.fixture
def host() -> Iterator[DecidingHost]:
    made = DecidingHost()
    yield made
    made.close()


@pytest.fixture
def bound(host: DecidingHost) -> tuple[DecidingHost, Session]:
    """A host whose one port is up."""
    return host, host.bring_up()


def test_nothing_is_touched_before_all_is_known(host: DecidingHost) -> None:
    """Until both databases and the ports of br-int are known, no bridge is told anything and no tag is written."""
    host.step(devices(device(), complete=True))
    host.connect("br-int", (TAP, 5))
    assert (host.bridges["br-int"].generation, host.tags, host.reports) == (0, [], [])
    assert host.bridges["br-int"].sessions
    host.step(TOPOLOGY)
    assert host.bridges["br-int"].table == ["priority=1 actions=NORMAL", DROP_TAP]
    assert host.bridges["br-tun"].generation == 0
    assert host.tags == [{TAP: wired(NET, 1)}]


def test_up_only_when_all_is_confirmed(host: DecidingHost) -> None:
    """The port is ACTIVE once its tag is there and both bridges have confirmed, and not one of these before."""
    host.step(devices(device(), complete=True), TOPOLOGY)
    host.connect("br-int", (TAP, 5), ("patch-tun", 6))
    host.connect("br-tun", ("patch-int", 1))
    assert host.bridges["br-tun"].table == SIX_MINUS_TWO
    host.confirm()
    assert host.reports == []
    host.step(devices(tagged(1)))
    assert host.bridges["br-int"].table == ["priority=1 actions=NORMAL"]
    host.confirm("br-int")
    assert host.reports == []
    host.confirm("br-tun")
    assert host.reports == [{PORT.id: CLAIM}]
    assert host.tags == [{TAP: wired(NET, 1)}]


def test_said_once(bound: tuple[DecidingHost, Session]) -> None:
    """What the topology says already is not written again; what somebody else writes over it is."""
    host, _ = bound
    row = Port(PORT.id, NET.id, PORT.mac_address, host="host1", status=PortStatus.ACTIVE)
    host.step(TopologyBatch(False, ports={PORT.id: row}))
    assert len(host.reports) == 1
    host.step(TopologyBatch(False, ports={PORT.id: PORT}))
    assert host.reports[1:] == [{PORT.id: CLAIM}]


def test_another_name_is_saved_and_changes_nothing_else(bound: tuple[DecidingHost, Session]) -> None:
    host, _ = bound
    up = Port(PORT.id, NET.id, PORT.mac_address, host="host1", status=PortStatus.ACTIVE)
    host.step(TopologyBatch(False, ports={PORT.id: up}))
    before = host.bridges["br-int"].generation, len(host.tags), len(host.reports), host.snapshot.devices
    named = replace(up, name="web")
    host.step(TopologyBatch(False, ports={PORT.id: named}, described=frozenset({PORT.id})))
    assert dict(host.saved[-1].ports) == {PORT.id: named}
    assert (host.bridges["br-int"].generation, len(host.tags), len(host.reports), host.snapshot.devices) == before


@pytest.mark.parametrize("order", ["first", "last", "both"])
def test_what_is_written_over_a_report_is_said_again_beside_another_name(
    bound: tuple[DecidingHost, Session], order: str
) -> None:
    """A batch that was merged of several is no less than these."""
    host, _ = bound
    up = Port(PORT.id, NET.id, PORT.mac_address, host="host1", status=PortStatus.ACTIVE)
    host.step(TopologyBatch(False, ports={PORT.id: up}))
    down = replace(up, status=PortStatus.DOWN)
    called, written = (TopologyBatch(False, ports={PORT.id: down}, described=frozenset(one)) for one in ({PORT.id}, ()))
    batches = {"first": (called, written), "last": (written, called), "both": (called, written, called)}[order]
    host.step(reduce(TopologyBatch.merge, batches))
    assert host.reports[1:] == [{PORT.id: CLAIM}]
    host.step(called.merge(called))
    assert len(host.reports) == 2


def test_port_down(bound: tuple[DecidingHost, Session]) -> None:
    """A port that is set down is dropped, tagged dead and given up; its network's flows go with the last port."""
    host, _ = bound
    host.step(
        TopologyBatch(
            False,
            ports={PORT.id: Port(PORT.id, NET.id, PORT.mac_address, admin_state_up=False, host="host1")},
        )
    )
    assert host.bridges["br-int"].table == ["priority=1 actions=NORMAL", DROP_TAP]
    assert host.bridges["br-tun"].table == ["priority=1 actions=drop"]
    assert host.tags[-1] == {TAP: DEAD}
    assert host.reports[-1] == {PORT.id: PortReport(PORT.id, "host1", False, PortStatus.DOWN)}


def test_iface_id_passes_to_another_port(bound: tuple[DecidingHost, Session]) -> None:
    """A device that is given to a port that nobody knows is dropped at once."""
    host, _ = bound
    unknown = "00000000-0000-4000-8000-0000000000ff"
    host.step(devices(device(iface_id=unknown, tag=1)))
    assert DROP_TAP in host.bridges["br-int"].table
    assert host.tags[-1] == {TAP: DEAD}


def test_replugged_under_another_number(bound: tuple[DecidingHost, Session]) -> None:
    """A late word that the old port is gone does not unbind the device that has a new number by now."""
    host, session = bound
    host.seen(session, TAP, 9)
    host.seen(session, TAP, 5, present=False)
    host.confirm()
    assert (host.device().ofport, host.device().status) == (9, PortStatus.ACTIVE)


def rows() -> tuple[uuid.UUID, uuid.UUID]:
    return uuid.uuid4(), uuid.uuid4()


def bound_elsewhere(host: DecidingHost) -> None:
    """Another host takes over the port that is bound here."""
    for name in ("host1", "host2"):
        row = Port(PORT.id, NET.id, PORT.mac_address, host=name, status=PortStatus.ACTIVE)
        host.step(TopologyBatch(False, ports={PORT.id: row}))
    assert host.device().reason == "host host2 has bound it"


def test_plugged_anew_in_one_transaction(host: DecidingHost, caplog: pytest.LogCaptureFixture) -> None:
    """New rows under the old names are another plug: it takes its port over from the host that has bound it since, and
    that its Port has no tag is nobody's doing. A change of the same rows is none."""
    host.bring_up()
    bound_elsewhere(host)
    for _ in range(2):  # the second time while it is bound here
        first = device(rows=rows())
        host.step(devices(first))
        assert host.tags[-1] == {TAP: wired(NET, 1)}
        host.step(devices(replace(tagged(1), rows=first.rows)))
        host.confirm()
        assert (host.device().status, host.reports[-1]) == (PortStatus.ACTIVE, {PORT.id: CLAIM})
        assert host.agent.snapshot.tag_drift.times == 0
    assert "others have changed it" not in caplog.text
    bound_elsewhere(host)
    host.step(devices(replace(tagged(1), ofport=5, rows=first.rows)))
    assert host.device().reason == "host host2 has bound it"
    host.step(devices(replace(tagged(1), rows=rows()), complete=True))  # nobody saw it come
    assert host.device().reason == "host host2 has bound it"


def test_a_write_that_comes_when_another_is_wanted_is_no_drift(
    host: DecidingHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A port is switched off and on again before its Port says that it is dead; somebody who does that is told of."""
    host.bring_up()
    dead = device(tag=4095, vlan_mode="trunk", trunks=frozenset({4095}))
    for is_up in (False, True):
        host.step(TopologyBatch(False, ports={PORT.id: replace(PORT, admin_state_up=is_up, host="host1")}))
    assert host.tags[-1] == {TAP: DEAD}
    host.step(devices(dead))
    assert host.tags[-1] == {TAP: wired(NET, 1)}
    host.step(devices(tagged(1)))
    assert (host.agent.snapshot.tag_drift.times, caplog.text.count("others have changed it")) == (0, 0)
    host.step(devices(dead))
    assert host.tags[-1] == {TAP: wired(NET, 1)}
    assert (host.agent.snapshot.tag_drift.times, caplog.text.count("others have changed it")) == (1, 1)


@pytest.mark.parametrize("which", [0, 1], ids=["Interface", "Port"])
def test_one_new_row_suffices(host: DecidingHost, which: int) -> None:
    """A Port made anew around the Interface that there was, or the other way round."""
    host.bring_up()
    old, new = rows(), rows()
    host.step(devices(replace(tagged(1), rows=old)))
    bound_elsewhere(host)
    host.step(devices(device(rows=(new[0], old[1]) if which == 0 else (old[0], new[1]))))
    assert host.device().reason == "waiting for Open vSwitch to confirm its tag and flows"
    assert host.tags[-1] == {TAP: wired(NET, 1)}


def test_mac_and_network_follow(bound: tuple[DecidingHost, Session]) -> None:
    """A bound port whose MAC address changes gets another flow, one that moves to another network another VLAN."""
    host, _ = bound
    host.step(TopologyBatch(False, ports={PORT.id: Port(PORT.id, NET.id, "fa:16:3e:00:00:99")}))
    assert any("dl_dst=fa:16:3e:00:00:99" in line for line in host.bridges["br-tun"].table)
    assert not any(PORT.mac_address in line for line in host.bridges["br-tun"].table)
    other = Network("e7bb2f41-4f2a-4dbf-a701-7630cfd72de5", NetworkType.VXLAN, 9)
    host.step(
        TopologyBatch(False, networks={other.id: other}, ports={PORT.id: Port(PORT.id, other.id, PORT.mac_address)})
    )
    vlan = host.device().vlan
    assert vlan is not None
    assert host.tags[-1] == {TAP: wired(other, vlan)}
    assert not any("tun_id=0x2," in line for line in host.bridges["br-tun"].table)


def test_unknowns_wait_and_the_newer_connection_counts(host: DecidingHost) -> None:
    """A datapath that is not ours is not accepted until the local OVSDB says that it is; a new connection of a bridge
    takes the place of the old one."""
    early = host.session(0x11)
    unknown = host.session(0x99)
    host.step(Identified(early), Identified(unknown))
    assert host.sessions == {}
    host.step(devices(complete=True))
    assert host.sessions == {"br-int": early}
    newer = host.session(0x11)
    host.step(Identified(newer))
    assert host.sessions == {"br-int": newer}
    host.step(Closed(early))
    assert host.sessions == {"br-int": newer}
    host.step(PortsListed(newer, ()))
    host.step(Closed(newer))
    assert host.sessions == {}
    assert host.bridges["br-int"].sessions == []


def test_bridges_are_checked_when_their_rows_change(host: DecidingHost) -> None:
    """A change of the layout has the bridges checked, a plugged device has not; before both databases are known they
    are not touched at all."""
    host.step(devices(complete=True))
    host.step(VSwitchBatch(False, {}, DATAPATHS, layout=True))
    assert host.checks == 0
    host.step(TOPOLOGY)
    assert host.checks == 1
    host.step(devices(device()))
    assert host.checks == 1
    host.step(VSwitchBatch(False, {}, DATAPATHS, layout=True))
    assert host.checks == 2


def test_problems_are_named(bound: tuple[DecidingHost, Session], caplog: pytest.LogCaptureFixture) -> None:
    """A row that breaks the model, and an attached-mac that is another, are named in the log."""
    host, _ = bound
    caplog.set_level(logging.INFO)
    host.step(TopologyBatch(False, problems=(RowProblem("Port 1234", "1234", "mac_address: 'x' is not a MAC"),)))
    assert "topology: Port 1234 is left out: mac_address: 'x' is not a MAC" in caplog.text
    host.step(VSwitchBatch(False, {TAP: None}, DATAPATHS))
    assert f"device {TAP} is gone" in caplog.text
    host.step(devices(device(attached_mac="fa:16:3e:ff:ff:ff")))
    assert f"device {TAP} has attached-mac 'fa:16:3e:ff:ff:ff'" in caplog.text


def test_allowed_address_pairs_follow(bound: tuple[DecidingHost, Session]) -> None:
    """Their MAC addresses come and go with the row of a port that stays bound; it waits for the flows, and stays up."""
    host, _ = bound
    virtual = "00:00:5e:00:01:33"
    for macs in ((virtual,), (), (virtual, "00:00:5e:00:01:34")):
        host.step(TopologyBatch(False, ports={PORT.id: replace(PORT, host="host1", allowed_macs=macs)}))
        table = host.bridges["br-tun"].table
        assert sum("dl_dst=00:00:5e" in line for line in table) == len(macs)
        assert any(f"dl_dst={PORT.mac_address}" in line for line in table)
        assert host.device().status is PortStatus.BUILD
        host.confirm()
        assert host.device().status is PortStatus.ACTIVE


def test_what_is_for_a_port_stays_while_binding_host_id_says_so(bound: tuple[DecidingHost, Session]) -> None:
    """From when the topology names this host until it names another, or the port is down or gone; not where the host
    has bound the port by itself."""
    host, session = bound
    stays = f"priority=8,in_port=1,dl_vlan=1,dl_dst={PORT.mac_address} actions=drop"
    claimed = replace(PORT, host="host1", status=PortStatus.ACTIVE)
    requested = replace(claimed, requested_host="host1")

    def table(port: Port) -> list[str]:
        host.step(TopologyBatch(False, ports={PORT.id: port}))
        host.confirm()
        return host.bridges["br-tun"].table

    assert table(claimed) == SIX_MINUS_TWO
    assert table(requested) == [*SIX_MINUS_TWO, stays]
    assert host.device().status is PortStatus.ACTIVE
    assert table(claimed) == SIX_MINUS_TWO
    assert stays in table(requested)
    assert table(replace(requested, admin_state_up=False)) == ["priority=1 actions=drop"]
    assert stays in table(requested)
    assert table(replace(requested, requested_host="host2")) == ["priority=1 actions=drop"]
    assert stays in table(requested)
    host.seen(session, TAP, 5, present=False)
    assert host.bridges["br-tun"].table == ["priority=1 actions=drop"]


def test_an_address_that_another_port_may_have_may_leave(bound: tuple[DecidingHost, Session]) -> None:
    """For as long as allowed_address_pairs of any port of the network say so, on whatever host that is."""
    host, _ = bound
    stays = f"priority=8,in_port=1,dl_vlan=1,dl_dst={PORT.mac_address} actions=drop"
    elsewhere = [
        Port(
            f"0000000{number}-0000-4000-8000-000000000001", NET.id, f"fa:16:3e:00:00:0{number}", requested_host="host2"
        )
        for number in (1, 2)
    ]
    allowed = [replace(port, allowed_macs=(PORT.mac_address,)) for port in elsewhere]
    other = replace(NET, id="e7bb2f41-4f2a-4dbf-a701-7630cfd72de5", segmentation_id=9)

    def is_there(*ports: Port, gone: Sequence[Port] = ()) -> bool:
        changed: dict[str, Port | None] = {port.id: port for port in ports}
        changed |= {port.id: None for port in gone}
        host.step(TopologyBatch(False, networks={other.id: other}, ports=changed))
        return stays in host.bridges["br-tun"].table

    assert is_there(replace(PORT, requested_host="host1"))
    assert not is_there(allowed[0])
    assert not is_there(allowed[1])
    assert not is_there(elsewhere[0])
    assert is_there(gone=[allowed[1]])
    assert is_there(replace(allowed[1], network_id=other.id))
    assert not is_there(allowed[1])
    assert is_there(elsewhere[1])


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the log has warned of devices since it was last asked."""

    def messages() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "controller.agent.change_log"]
        caplog.clear()
        return [text for text in found if TAP in text]

    return messages


def test_what_takes_moments_is_not_warned_of(
    host: DecidingHost, warned: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device waits for its OpenFlow port, whether or not its row tells the number already; it is named when that
    lasts, once, and in other words when there is another reason."""
    host.step(devices(complete=True), TOPOLOGY)
    session = host.connect("br-int", ("patch-tun", 6))
    host.step(devices(device()))
    host.step(devices(device(ofport=5)))
    host.seen(session, TAP, 5)
    host.step(devices(replace(tagged(1), ofport=5)))
    assert warned() == []
    monkeypatch.setattr(change_log, "PATIENCE", 0.0)
    host.seen(session, TAP, 5, present=False)
    host.step()
    gone = "the device has no OpenFlow port, though its row says that it is 5"
    assert warned() == [f"device {TAP} (port {PORT.id}) is not bound: {gone}"]
    assert host.device().reason == gone
    host.step()
    assert warned() == []
    host.step(devices(device(ofport=-1, error="no room")))
    assert [f"device {TAP} (port {PORT.id}) is not bound: Open vSwitch could not make the device: no room"] == warned()


@pytest.mark.parametrize("written", [f"{{{PORT.id}}}", PORT.id.replace("-", ""), f"{{{PORT.id.upper()}"])
def test_an_iface_id_that_is_written_otherwise_is_named(
    host: DecidingHost, warned: Callable[[], list[str]], written: str
) -> None:
    host.step(devices(device(iface_id=written), complete=True), TOPOLOGY)
    host.connect("br-int", (TAP, 5), ("patch-tun", 6))
    assert host.device().status is PortStatus.BUILD
    assert warned() == [f"device {TAP} has iface-id {written!r}: port {PORT.id} is meant"]
    host.step(devices(device(tag=1)))
    assert warned() == []


def test_a_network_leaves_its_local_vlan_to_an_operator(
    bound: tuple[DecidingHost, Session], caplog: pytest.LogCaptureFixture
) -> None:
    """Named in the log, and shown for as long as that is so; the port is up again once it has the other tag."""
    host, _ = bound
    host.step(devices(Device("eth7", "eth7", tag=1)))
    said = f"network {NET.id} gets another local VLAN, 2: local VLAN 1 is of eth7, no port of ours"
    assert said in caplog.messages
    assert list(host.snapshot.vlan_conflicts) == [1]
    assert host.tags[-1] == {TAP: wired(NET, 2)}
    assert DROP_TAP in host.bridges["br-int"].table
    host.step(devices(tagged(2)))
    host.confirm()
    assert (host.device().vlan, host.device().status) == (2, PortStatus.ACTIVE)
    assert DROP_TAP not in host.bridges["br-int"].table
    host.step(VSwitchBatch(False, {"eth7": None}, DATAPATHS, serials=SERIALS))
    assert host.snapshot.vlan_conflicts == {}


@pytest.mark.parametrize("vlan", [1, 7])
def test_what_the_state_file_says_already_is_not_saved_again(host: DecidingHost, vlan: int) -> None:
    """A controller that starts again and finds what it left writes nothing; another local VLAN is written."""
    host.bring_up()
    (saved,) = host.saved
    again = DecidingHost(saved)
    again.step(devices(tagged(vlan), complete=True), TOPOLOGY)
    again.connect("br-int", (TAP, 5), ("patch-tun", 6))
    again.connect("br-tun", ("patch-int", 1))
    again.confirm()
    assert again.device().vlan == vlan
    assert [sorted(one.vlans) for one in again.saved] == ([] if vlan == 1 else [[1, 7]])
    again.close()


def test_a_port_that_moves_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """From this host or to it, also by way of no host; what moves between others is not told here."""
    host = DecidingHost()
    host.bring_up()
    with caplog.at_level(logging.INFO):
        for place in ("host1", None, "h2", "h3", "host1"):
            host.step(TopologyBatch(False, ports={PORT.id: replace(PORT, host=place)}))
    events = [event for record in caplog.records if (event := record.__dict__.get("event"))]
    moves = [event.fields() for event in events if event.kind is PORT_MOVED]
    assert [(move["from_host"], move["to_host"]) for move in moves] == [("host1", "h2"), ("h3", "host1")]
    assert {move["port"] for move in moves} == {PORT.id}
    host.close()
