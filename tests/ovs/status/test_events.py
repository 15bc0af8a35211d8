"""``tunbridge events`` of a controller on a real Open vSwitch: what is done is in the journal, each event once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.status.control_client import call
from controller.status.events_page import kinds
from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.waiting import wait_until
from topology.event_kinds import FieldType

pytestmark = pytest.mark.one_hub
PYTHON = {FieldType.STRING: str, FieldType.INTEGER: int, FieldType.NUMBER: (int, float)}


class Follower:
    """``tunbridge events --follow --json`` in a process of its own."""

    def __init__(self, controller: Tunbridge, folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        # A shell that has begun the tests in the background has them ignore it.
        command = ["env", "--default-signal=INT"]
        command += [sys.executable, "-m", "controller.cli.commands", "events", "--follow", "--json"]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "--config-file", str(controller.config_file)], cwd=ROOT, stdout=out, stderr=err
            )

    def told(self) -> list[dict[str, Any]]:
        """All events so far."""
        return [json.loads(line) for line in self._out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def names(self) -> list[str]:
        return [event["event"] for event in self.told()]

    @property
    def words(self) -> str:
        """What it says beside them."""
        return self._err.read_text()

    def wait(self, name: str, **fields: object) -> dict[str, Any]:
        """Wait for an event; it."""

        def found() -> dict[str, Any] | None:
            return next(
                (one for one in self.told() if one["event"] == name and fields.items() <= one["fields"].items()), None
            )

        one = wait_until(found, 20, lambda: f"{name} {fields}, not only {self.told()}\n{self.words}")
        assert one is not None
        return one


@pytest.fixture
def controller(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    made = tunbridge()
    made.apply(reference.DOCUMENT)
    made.wait_in_sync()
    return made


@pytest.fixture
def follower(controller: Tunbridge, tmp_path: Path) -> Iterator[Follower]:
    made = Follower(controller, tmp_path)
    yield made
    made.process.send_signal(signal.SIGCONT)
    made.process.send_signal(signal.SIGINT)
    assert made.process.wait(60) == 130


def test_a_day_of_a_host(ovs: OvsHost, controller: Tunbridge, follower: Follower) -> None:
    """Ports that come, are refused and go, drift, an outage and a restart: as declared, in order, none twice."""
    ovs.plug_many([reference.VM])
    active = follower.wait("port-active", port=reference.VM.port_id)
    assert active["fields"]["device"] == reference.VM.name
    assert active["fields"]["vlan"] == 1
    assert 0 < active["fields"]["seconds"] < 60
    assert active["message"].startswith(f"port {reference.VM.port_id} (device {reference.VM.name}, ofport ")
    bound = follower.wait("port-bound", port=reference.VM.port_id)
    assert (bound["id"] < active["id"], bound["message"]) == (True, None)
    assert bound["fields"]["network"] == active["fields"]["network"]

    ovs.plug("tapx", "00000000-0000-4000-8000-00000000dead")
    refused = follower.wait("device-refused", device="tapx")
    assert refused["severity"] == "WARNING"
    assert refused["fields"]["reason"] == controller.wait_device("tapx", status="DOWN")["reason"]

    ovs.ofctl("del-flows", "br-tun")
    found = follower.wait("drift-found", bridge="br-tun")
    assert (found["fields"]["deleted"] > 0, found["fields"]["added"]) == (True, 0)
    assert follower.wait("drift-repaired", bridge="br-tun")["id"] > found["id"]
    ovs.vsctl("set", "Port", reference.VM.name, "tag=77")
    assert "77" in follower.wait("tag-drift", device=reference.VM.name)["fields"]["change"]
    controller.topology_transact({"op": "insert", "table": "Host", "row": {"name": "h2"}})
    follower.wait("host-joined", host="h2")
    controller.topology_transact({"op": "delete", "table": "Host", "where": [["name", "==", "h2"]]})
    follower.wait("host-left", host="h2")

    ovs.unplug(reference.VM.name)
    down = follower.wait("port-down", port=reference.VM.port_id)
    assert down["fields"]["network"] == active["fields"]["network"]
    follower.wait("device-gone", device=reference.VM.name)

    before = follower.told()
    assert [event["id"] for event in before] == list(range(1, len(before) + 1))
    assert {"controller-started", "host-registered", "database-connected", "bridge-connected", "bridge-in-sync"} <= {
        event["event"] for event in before
    }
    for event in before:
        kind = kinds()[event["event"]]
        assert tuple(event["fields"]) == kind.names
        for field in kind.fields:
            value = event["fields"][field.name]
            assert value is None or isinstance(value, PYTHON[field.type]), event
        line = f"{event['message']} [{event['event']}]"
        assert (line in controller.log_text()) == kind.is_logged, event

    controller.restart()  # after which a journal of its own is followed
    wait_until(lambda: follower.names().count("controller-started") == 2, 20, lambda: str(follower.names()))
    assert "the controller was started anew, and so was its journal" in follower.words


def test_a_reader_that_sleeps(ovs: OvsHost, controller: Tunbridge, follower: Follower) -> None:
    """Nobody else notices, and what is in the journal still it gets, each once."""
    follower.wait("controller-started")
    follower.process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        ovs.plug_many([reference.VM])
        controller.wait_device(reference.VM.name, status="ACTIVE")
        ovs.unplug(reference.VM.name)
        wait_until(lambda: not controller.device(reference.VM.name), 20, "gone")
    count = follower.names().count("port-active")
    follower.process.send_signal(signal.SIGCONT)
    wait_until(lambda: follower.names().count("port-down") == 3, 20, lambda: str(follower.names()))
    assert (count, follower.names().count("port-active")) == (0, 3)
    assert [event["id"] for event in follower.told()] == list(range(1, len(follower.told()) + 1))


def test_what_is_shown(ovs: OvsHost, controller: Tunbridge) -> None:
    """For people and for programs; of one port, one network, some time; bad questions."""
    ovs.plug_many([reference.VM, reference.DHCP])
    for device in (reference.VM, reference.DHCP):
        controller.wait_device(device.name, status="ACTIVE")

    def names(*options: str) -> list[str]:
        return [json.loads(line)["event"] for line in controller.command("events", "--json", *options).splitlines()]

    assert names("--port", reference.VM.name) == names("--port", reference.VM.port_id) == ["port-bound", "port-active"]
    network = controller.device(reference.VM.name)["network_id"]
    assert sorted(names("--network", network)) == ["port-active", "port-active", "port-bound", "port-bound"]
    assert names("--since", "2100-01-01T00:00:00Z") == []
    shown = controller.command("events", "--since", "1h", "--port", reference.VM.name).splitlines()
    assert [line.split()[2:4] for line in shown] == [["INFO", "port-bound:"], ["INFO", "port-active:"]]
    assert f"device {reference.VM.name}, ofport " in shown[0]
    controller.command("events", "--since", "yesterday", statuses=(2,))
    with pytest.raises(Exception, match="after, since: expected numbers"):
        call(str(controller.run_path / "control.sock"), "events", since="x")


def test_the_log_as_json(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Every line is an object, with the same names and fields as the journal."""
    controller = tunbridge(options={"DEFAULT": {"log_json": "true"}})
    controller.apply(reference.DOCUMENT)
    ovs.plug_many([reference.VM])
    controller.wait_device(reference.VM.name, status="ACTIVE")
    ovs.plug("tapx", "00000000-0000-4000-8000-00000000dead")
    controller.wait_device("tapx", status="DOWN")
    lines = [json.loads(line) for line in controller.log_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    in_log = [(line["event"], line["fields"]) for line in lines if "event" in line]
    journal = [json.loads(line) for line in controller.command("events", "--json").splitlines()]
    assert in_log == [(one["event"], one["fields"]) for one in journal if one["message"] is not None]
    assert {"port-active", "device-refused"} <= {name for name, _ in in_log}
