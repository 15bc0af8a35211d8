"""What Open vSwitch could not make and what an application raised on is tried again, beside all others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import HostView
from apps.tunnel_bridge import TunnelBridge
from controller.agent import retries
from controller.agent.retries import BACKOFF, Retries
from controller.runtime.backoff import Backoff
from controller.vswitch.interface_rows import VSwitchBatch
from tests.support.host.deciding import DATAPATHS, PORT, TAP, TOPOLOGY, DecidingHost, device, devices, tagged
from topology.model import PortStatus
from topology.source import PortReport

OTHER = replace(PORT, id="3f1f785c-70af-4dd6-a0d1-9fb4f2c0d0b5", mac_address="fa:16:3e:02:dd:7a")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidingHost]:
    monkeypatch.setattr(retries, "BACKOFF", Backoff(0.0, 0.0))
    made = DecidingHost()
    yield made
    made.close()


def failing(error: str = "No such device") -> VSwitchBatch:
    return devices(device(ofport=-1, error=error))


def test_a_device_that_cannot_be_made_is_tried_again_until_it_can(host: DecidingHost) -> None:
    host.step(devices(device(), complete=True), TOPOLOGY)
    host.connect("br-int", ("patch-tun", 6))
    host.step()
    host.step(failing())
    assert host.agent.due is not None and host.retried_ports == []
    host.step()
    assert host.retried_ports == [{TAP: "No such device"}]
    host.step()
    assert len(host.retried_ports) == 2, "and once more, later"
    host.step(devices(device(ofport=5)))
    host.step()
    assert len(host.retried_ports) == 2


def test_a_device_that_is_nobodys_port_is_not_tried_again(host: DecidingHost) -> None:
    host.step(devices(device(iface_id=None, ofport=-1, error="No such device"), complete=True), TOPOLOGY)
    host.connect("br-int")
    assert host.agent.due is None


def test_a_patch_port_that_cannot_be_made_is_named(host: DecidingHost, caplog: pytest.LogCaptureFixture) -> None:
    host.step(devices(device(), complete=True), TOPOLOGY)
    host.connect("br-int")
    with caplog.at_level(logging.ERROR):
        host.step(VSwitchBatch(False, {}, DATAPATHS, faults={"patch-tun": "no room", "to-site-b": "not ours"}))
        assert host.retried_ports == []
        host.step(VSwitchBatch(False, {}, DATAPATHS, faults={"patch-tun": "no room", "to-site-b": "not ours"}))
    said = [record.getMessage() for record in caplog.records if record.name == "controller.agent.retries"]
    assert said == ["port patch-tun: Open vSwitch could not make it: no room"]
    assert host.retried_ports == [{"patch-tun": "no room"}]
    host.step(VSwitchBatch(False, {}, DATAPATHS))
    assert host.snapshot.ports_not_made == {}


def test_an_application_that_raises_is_asked_again(host: DecidingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is DOWN while it does, and ACTIVE without any other event when it does not any more."""
    whole = TunnelBridge.flows

    def broken(self: TunnelBridge, unit: Unit, view: HostView) -> Any:
        if unit.kind is UnitKind.PORT:
            raise RuntimeError("out of luck")
        return whole(self, unit, view)

    monkeypatch.setattr(TunnelBridge, "flows", broken)
    host.step(devices(device(), complete=True), TOPOLOGY)
    host.connect("br-int", (TAP, 5), ("patch-tun", 6))
    host.connect("br-tun", ("patch-int", 1))
    host.step(devices(tagged(1)))
    host.confirm()
    assert host.reports[-1] == {PORT.id: PortReport(PORT.id, "host1", True, PortStatus.DOWN)}
    host.step()
    assert host.snapshot.unit_problems
    monkeypatch.setattr(TunnelBridge, "flows", whole)
    host.step()
    assert not host.snapshot.unit_problems
    assert any("dl_dst=fa:16:3e:02:dd:79" in flow for flow in host.bridges["br-tun"].table)
    host.confirm()
    assert host.reports[-1] == {PORT.id: PortReport(PORT.id, "host1", True, PortStatus.ACTIVE)}


def test_intervals_double_up_to_five_minutes() -> None:
    tried: list[Mapping[str, str]] = []
    made = Retries(Compiler(), tried.append)
    made.device("port", "no room")
    made.see(100.0)
    now, waits = 100.0, []
    for number in range(12):
        due = made.due
        assert due is not None
        made.retry(due - 0.001)
        assert len(tried) == number, "not before its time"
        made.retry(due)
        assert tried[number:] == [{"port": "no room"}]
        made.see(due)
        waits.append(due - now)
        now = due
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert set(waits[9:]) == {BACKOFF.last} == {300.0}


def test_what_fails_no_more_is_forgotten_and_begins_anew() -> None:
    made = Retries(Compiler(), lambda ports: None)
    for name in ("one", "other"):
        made.device(name, "no room")
    made.see(0.0)
    made.retry(1.0)
    assert made.due == 3.0
    made.device("one", None)
    made.see(1.0)
    made.device("one", "no room")
    made.see(2.0)
    assert made.due == 3.0
    made.retry(3.0)
    assert made.due == 5.0, "one has failed twice, the other three times"
    for name in ("one", "other"):
        made.device(name, None)
    made.see(4.0)
    assert made.due is None


def test_what_has_come_right_when_it_is_due_is_not_tried() -> None:
    tried: list[Mapping[str, str]] = []
    made = Retries(Compiler(), tried.append)
    for name in ("one", "other"):
        made.device(name, "no room")
    made.see(0.0)
    made.device("one", None)
    made.retry(1.0)
    assert tried == [{"other": "no room"}]
