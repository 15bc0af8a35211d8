"""The worker that keeps this host's place in the topology, against a source that answers as it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from os_ken.lib import hub

from controller.agent.registration import Registration
from controller.runtime.backoff import Backoff
from controller.runtime.workers import Workers
from tests.support.logs import lines_of
from tests.support.waiting import wait_until
from topology.errors import ConflictError, TopologyError, TopologyUnavailable
from topology.model import Host
from topology.source import PortReport, TopologyBatch

HOST = Host("host1", ("192.0.2.1",), ("gre",), instance="c4d8b48b-6ff7-43b6-a203-8f1192a16f07")


class Source:
    """A topology that refuses registrations with these errors, one after the other, before it takes one."""

    connection = "test"
    connected = True

    def __init__(self, *refusals: TopologyError, heartbeat: TopologyError | None = None) -> None:
        self._refusals = list(refusals)
        self._heartbeat = heartbeat
        self.registered: list[Host] = []
        self.heartbeats = 0

    def register(self, host: Host) -> bool:
        if self._refusals:
            raise self._refusals.pop(0)
        self.registered.append(host)
        return True

    def heartbeat(self, name: str) -> None:
        assert name == HOST.name
        self.heartbeats += 1
        if self._heartbeat is not None:
            raise self._heartbeat

    def start(self, listener: Callable[[TopologyBatch], None]) -> None:
        raise AssertionError("registration follows nothing")

    def report(self, reports: Iterable[PortReport]) -> int:
        raise AssertionError("registration reports no ports")

    def delete_host(self, name: str) -> bool:
        raise AssertionError("registration deletes nothing")

    def stop(self) -> None:
        raise AssertionError("the source is not registration's to stop")


def wait(predicate: Callable[[], bool], message: str) -> None:
    """Wait until something is so, on green threads too."""

    def asked() -> bool:
        hub.sleep(0)  # lets a green thread run, which would wait for ever while we sleep
        return predicate()

    wait_until(asked, 5, message)


class Running:
    """A registration in its worker."""

    def __init__(self, source: Source, interval: float = 30) -> None:
        self.workers = Workers()
        self.told = 0
        self.registration = Registration(source, HOST, interval, self.workers, self._registered)

    def _registered(self) -> None:
        self.told += 1

    def __enter__(self) -> Running:
        self.workers.spawn("registration", self.registration.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.stop()
        self.registration.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registration, "backoff", Backoff(0.01, 0.05))


def test_registers_and_lives() -> None:
    """The host is registered once, and a heartbeat follows at once and then at each interval."""
    source = Source()
    with Running(source, interval=0.02) as running:
        wait(lambda: source.heartbeats >= 3, "three heartbeats")
    assert (source.registered, running.told) == ([HOST], 1)


def test_waits_for_the_database(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is not there yet is tried again in silence; one that fails is named each time."""
    source = Source(TopologyUnavailable("not yet"), TopologyUnavailable("not yet"), TopologyError("disk full"))
    with caplog.at_level(logging.INFO), Running(source) as running:
        wait(lambda: running.told == 1, "registered")
    assert source.registered == [HOST]
    assert lines_of(caplog, "controller.agent.registration") == [
        "this host is not registered: disk full",
        "host host1 is registered",
    ]


def test_a_name_that_is_taken_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """With one line; nobody is told that the host is registered."""
    source = Source(ConflictError("host name host1 is taken"))
    with Running(source) as running:
        assert not running.workers.wait()
    assert (source.registered, running.told) == ([], 0)
    assert lines_of(caplog, "controller") == ["host name host1 is taken"]


def test_registers_again_when_asked() -> None:
    """A topology that has lost this host gets it again, without waiting for the next heartbeat."""
    source = Source()
    with Running(source) as running:
        wait(lambda: source.heartbeats == 1, "alive")
        running.registration.again()
        wait(lambda: (running.told, source.heartbeats) == (2, 2), "registered again")
    assert source.registered == [HOST, HOST]


def test_what_a_host_tells_anew_is_registered() -> None:
    """And stays so when the topology has lost the host after that."""
    source = Source()
    with Running(source) as running:
        wait(lambda: running.told == 1, "registered")
        told = replace(HOST, lacks_local_ip=True)
        running.registration.tell(told)
        wait(lambda: running.told == 2, "registered as it is now")
        running.registration.again()
        wait(lambda: running.told == 3, "registered again")
    assert source.registered == [HOST, told, told]


def test_a_lost_heartbeat_is_no_reason_to_end() -> None:
    """The database may be away for a while: the next heartbeat is tried as usual."""
    source = Source(heartbeat=TopologyUnavailable("away"))
    with Running(source, interval=0.02) as running:
        wait(lambda: source.heartbeats >= 3, "three tries")
        assert running.told == 1
