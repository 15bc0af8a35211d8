"""A port is ACTIVE while everything that it needs is in place, and what is missing is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from controller.agent import port_states
from controller.openflow.tables.sender import Synced
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.tagging import wired
from tests.support.host.deciding import (
    CLAIM,
    DATAPATHS,
    NET,
    PORT,
    SERIALS,
    TAP,
    DecidingHost,
    device,
    devices,
    tagged,
)
from topology.model import Network, NetworkType, Port, PortStatus
from topology.source import PortReport, TopologyBatch

DOWN = PortReport(PORT.id, "host1", True, PortStatus.DOWN)
REFUSAL = "OFPET_FLOW_MOD_FAILED OFPFMFC_TABLE_FULL"


@pytest.fixture
def host() -> Iterator[DecidingHost]:
    """A host whose one port is up."""
    made = DecidingHost()
    made.bring_up()
    made.reports.clear()
    yield made
    made.close()


def state(host: DecidingHost, port_id: str = PORT.id) -> tuple[PortStatus, str | None]:
    shown = host.device(port_id)
    return shown.status, shown.reason


def test_active(host: DecidingHost) -> None:
    """A port that is up has no reason, and nothing is waited for."""
    assert state(host) == (PortStatus.ACTIVE, None)
    assert host.building == 0
    assert host.snapshot.active == 1


@pytest.mark.parametrize("kind", ["of the port", "of its network", "of nobody"])
def test_a_refused_flow(host: DecidingHost, kind: str) -> None:
    """A port is DOWN, with the switch's words, while a flow of it or of its network is refused; others do not count."""
    bridge = host.bridges["br-tun"]
    mac, group = int(PORT.mac_address.replace(":", ""), 16), 1 << 40
    value = {"of the port": mac, "of its network": group, "of nobody": None}[kind]
    key = next(
        key for key in bridge.flows
        if (value is None and not key.match.terms) or any(term.value == value for term in key.match.terms)
    )  # fmt: skip
    host.step(Synced("br-tun", bridge.generation, {key: REFUSAL}))
    if kind == "of nobody":
        assert (host.reports, state(host)) == ([], (PortStatus.ACTIVE, None))
        return
    assert host.reports == [{PORT.id: DOWN}]
    assert state(host) == (PortStatus.DOWN, f"bridge br-tun refused a flow: {REFUSAL}")
    host.step(Synced("br-tun", bridge.generation, {}))
    assert host.reports == [{PORT.id: DOWN}, {PORT.id: CLAIM}]
    assert state(host) == (PortStatus.ACTIVE, None)


def test_a_refusal_is_said_once(host: DecidingHost, caplog: pytest.LogCaptureFixture) -> None:
    """While other flows are refused and taken, a port that is down is named once, and again if it was up between."""
    bridge = host.bridges["br-tun"]
    mac = int(PORT.mac_address.replace(":", ""), 16)
    key = next(key for key in bridge.flows if any(term.value == mac for term in key.match.terms))
    others = [other for other in bridge.flows if not other.match.terms]
    for refused in ([key], [key, *others], [key], [], [key]):
        host.step(Synced("br-tun", bridge.generation, dict.fromkeys(refused, REFUSAL)))
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"port {PORT.id} (device {TAP}) is not up: bridge br-tun refused a flow: {REFUSAL}"
    ] * 2


def test_waiting(host: DecidingHost) -> None:
    """A port whose device is plugged anew is being built until the bridges have confirmed, and is then said again."""
    claimed = Port(PORT.id, PORT.network_id, PORT.mac_address, host="host1", status=PortStatus.ACTIVE)
    host.step(TopologyBatch(False, ports={PORT.id: claimed}))
    host.step(VSwitchBatch(False, {TAP: None}, DATAPATHS))
    assert host.reports == [{PORT.id: PortReport(PORT.id, "host1", False, PortStatus.DOWN)}]
    host.step(devices(device()))
    assert state(host) == (PortStatus.BUILD, "waiting for Open vSwitch to confirm its tag and flows")
    assert host.building == 1


def test_a_port_that_is_long_in_coming(host: DecidingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a port that is up within moments nothing else is said; of one that is not, that it is being built, once."""
    row = Port(PORT.id, PORT.network_id, PORT.mac_address)
    host.step(TopologyBatch(False, ports={PORT.id: row}), VSwitchBatch(False, {TAP: None}, DATAPATHS))
    host.reports.clear()
    host.step(devices(device()))
    host.step()
    assert host.agent.due is not None and host.reports == []
    later = time.monotonic() + 3600.0
    monkeypatch.setattr(port_states, "time", SimpleNamespace(monotonic=lambda: later))
    host.step()
    building = PortReport(PORT.id, "host1", True, PortStatus.BUILD)
    assert host.reports == [{PORT.id: building}]
    host.step(TopologyBatch(False, ports={PORT.id: replace(row, host="host1", status=PortStatus.BUILD)}))
    host.step()
    host.confirm()
    host.step(devices(tagged(1)))
    host.confirm()
    assert host.reports == [{PORT.id: building}, {PORT.id: CLAIM}]


def test_each_stage_of_a_binding_is_timed(host: DecidingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the event in the inbox to the topology's answer, whichever of flows and tag is first."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(port_states, "time", SimpleNamespace(monotonic=lambda: clock.now))
    claimed = Port(PORT.id, PORT.network_id, PORT.mac_address, host="host1", status=PortStatus.ACTIVE)
    host.step(TopologyBatch(False, ports={PORT.id: claimed}))
    before = {stage: durations.sum for stage, durations in host.snapshot.stages.items()}, host.snapshot.durations.sum

    def grown() -> dict[str, float]:
        sums = {stage: durations.sum - before[0][stage] for stage, durations in host.snapshot.stages.items()}
        return {**sums, "all": host.snapshot.durations.sum - before[1]}

    host.step(VSwitchBatch(False, {TAP: None}, DATAPATHS))
    host.step(TopologyBatch(False, ports={PORT.id: replace(claimed, status=PortStatus.DOWN)}))
    host.agent.handle([devices(device())], None, clock.now - 0.25)
    clock.now += 2.0
    host.step(devices(tagged(1)))  # before its flows are confirmed
    clock.now += 3.0
    host.confirm()
    assert host.reports[-1] == {PORT.id: CLAIM}
    clock.now += 4.0
    host.step(TopologyBatch(False, ports={PORT.id: claimed}))
    assert grown() == {"decided": 0.25, "flows": 5.0, "tag": 2.0, "sending": 0.0, "reported": 4.0, "all": 5.25}
    host.step(VSwitchBatch(False, {TAP: None}, DATAPATHS))
    host.step(TopologyBatch(False, ports={PORT.id: replace(claimed, status=PortStatus.DOWN)}))
    host.step(devices(device()))
    clock.now += 1.0
    host.confirm()
    clock.now += 1.0
    host.step(devices(tagged(1)))
    clock.now += 1.0
    host.confirm()
    expected = {"decided": 0.25, "flows": 6.0, "tag": 4.0, "sending": 1.0, "reported": 4.0, "all": 8.25}
    assert grown() == pytest.approx(expected)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_bridge_that_goes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, is_late: bool) -> None:
    """A port of a VLAN network that waits for a physical bridge is up once that is deleted, said to be built or not."""
    if is_late:
        monkeypatch.setattr(port_states, "PATIENCE", 0.0)
    with closing(DecidingHost(mappings={"physnet1": "br-ex"})) as host:
        vlan = replace(NET, network_type=NetworkType.VLAN, physical_network="physnet1", segmentation_id=101)
        with_it = {**DATAPATHS, "br-ex": 0x33}
        host.step(
            VSwitchBatch(True, {TAP: device()}, with_it, layout=True, serials=SERIALS),
            TopologyBatch(True, networks={vlan.id: vlan}, ports={PORT.id: PORT}),
        )
        host.connect("br-int", (TAP, 5))
        host.connect("br-tun")
        tagging = wired(vlan, 1)
        mine = device(tag=1, other_config=dict(tagging.wiring))
        host.step(VSwitchBatch(False, {TAP: mine}, with_it, serials=SERIALS))
        host.confirm("br-int", "br-tun")
        host.step()
        assert state(host)[0] is PortStatus.BUILD
        host.step(VSwitchBatch(False, {}, DATAPATHS, layout=True, serials=SERIALS))
        assert state(host) == (PortStatus.ACTIVE, None)
        assert host.reports[-1] == {PORT.id: CLAIM}


@pytest.mark.parametrize(("owner", "status"), [("host1", PortStatus.ACTIVE), ("host2", PortStatus.DOWN)])
def test_a_port_that_is_up_or_elsewhere_is_not_said_to_be_built(
    host: DecidingHost, monkeypatch: pytest.MonkeyPatch, owner: str, status: PortStatus
) -> None:
    """A controller that starts again, or takes over from another host, changes nothing before it has done so."""
    monkeypatch.setattr(port_states, "PATIENCE", 0.0)
    host.step(VSwitchBatch(False, {TAP: None}, DATAPATHS))
    host.step(TopologyBatch(False, ports={PORT.id: replace(PORT, host=owner, status=status)}))
    host.reports.clear()
    host.step(devices(device()))
    host.step()
    assert (host.building, host.reports) == (1, [])


def _rival(network_id: str) -> TopologyBatch:
    """A network with the tunnel id of the host's, of another type, and a port on it."""
    network = Network(network_id, NetworkType.VXLAN, 2)
    port = Port(network_id[:-1] + "f", network_id, "fa:16:3e:00:00:02")
    return TopologyBatch(False, networks={network.id: network}, ports={port.id: port})


def _plug(host: DecidingHost, rival: TopologyBatch) -> str:
    (port_id,) = rival.ports
    host.step(rival, devices(device(name="tap2", port_name="tap2", iface_id=port_id)))
    session = host.sessions["br-int"]
    host.seen(session, "tap2", 8)
    host.confirm()
    tagging = [tags["tap2"] for tags in host.tags if "tap2" in tags][-1]
    tagged = device(name="tap2", port_name="tap2", iface_id=port_id, tag=tagging.tag, other_config=dict(tagging.wiring))
    host.step(devices(tagged))
    host.confirm()
    return port_id


def test_two_networks_with_one_tunnel_id(host: DecidingHost) -> None:
    """Of two networks that cannot both be carried the later by id is refused: its port is DOWN and says why, the
    other's stays up."""
    port_id = _plug(host, _rival("ffffffff-0000-4000-8000-000000000000"))
    status, reason = state(host, port_id)
    assert status is PortStatus.DOWN
    assert reason is not None
    assert "network ffffffff-0000-4000-8000-000000000000" in reason
    assert state(host) == (PortStatus.ACTIVE, None)
    assert host.reports == [{port_id: PortReport(port_id, "host1", True, PortStatus.DOWN)}]


def test_a_network_that_loses_its_tunnel_id(host: DecidingHost) -> None:
    """Where it is the network of a port that is up that has to give way, that port goes DOWN; it is up again when the
    other network is gone."""
    rival = _rival("00000000-0000-4000-8000-000000000000")
    port_id = _plug(host, rival)
    assert state(host, port_id) == (PortStatus.ACTIVE, None)
    assert state(host)[0] is PortStatus.DOWN
    assert {PORT.id: DOWN} in host.reports
    host.step(TopologyBatch(False, networks=dict.fromkeys(rival.networks), ports=dict.fromkeys(rival.ports)))
    host.confirm()
    assert state(host) == (PortStatus.ACTIVE, None)
    assert host.reports[-1][PORT.id] == CLAIM
