"""The event stream beside a real controller: what that one tells is in it, whichever of the two is started anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import ApiProcess, Client
from tests.support.http.event_reader import EventReader, StreamMessage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

PORT = reference.VM.port_id


def own(reader: EventReader) -> list[StreamMessage]:
    """The controller's events that came."""
    return [message for message in reader.messages if message.data.get("host") == "host1" and message.event != "gap"]


def numbers(*readers: EventReader) -> list[int]:
    """Their numbers in its journal."""
    return [message.data["id"] for reader in readers for message in own(reader)]


def journal(controller: Tunbridge) -> dict[int, Any]:
    """What ``tunbridge events`` has, but for what the API tells of the topology itself, by number."""
    events = controller.events()
    return {one["id"]: one for one in events if one["event"] not in ("host-joined", "host-left")}


def test_events_of_both(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """A port that comes up, as its controller tells it and as the topology has it; and across the API's own death.

    The client comes back to another process. What it has of the controller it is not told again.
    """
    client = Client(free_tcp_port())
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": client.port}})
    controller.apply(reference.DOCUMENT)
    reader = EventReader(client, "0")
    ovs.plug_many([reference.VM])
    active = reader.wait("port-active", port=PORT)
    reader.wait("port-status", port=PORT, port_status="ACTIVE", host="host1")
    assert active.data == {**journal(controller)[active.data["id"]], "host": "host1"}
    ovs.plug_many([reference.DHCP])
    reader.wait("port-active", port=reference.DHCP.port_id)
    wait_until(lambda: set(numbers(reader)) == set(journal(controller)), 20, lambda: str(numbers(reader)))
    assert numbers(reader) == sorted(set(numbers(reader)))

    late = EventReader(client)  # is told nothing of what was before
    wait_until(lambda: late.last_event_id, 20, "it was told where it is")
    os.kill(controller.api_pid(), signal.SIGKILL)
    assert reader.ended.wait(60)
    assert late.ended.wait(60)
    assert late.messages == []
    ovs.unplug(reference.VM.name)
    wait_until(lambda: not controller.device(reference.VM.name), 20, "it is gone")
    again = wait_until(lambda: _reader(client, reader.last_event_id), 60, "the API is there again")
    again.wait("device-gone", device=reference.VM.name)
    wait_until(lambda: set(numbers(reader, again)) == set(journal(controller)), 20, lambda: str(numbers(again)))
    assert numbers(reader, again) == sorted(set(numbers(reader, again)))
    assert [one.data for one in again.messages if one.event == "gap"] == [{"missed": None}]
    again.close()


def test_a_controller_that_is_started_anew(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """The API goes on with the new journal; of what the old one had nothing is lost where it had its time to end."""
    controller = tunbridge()
    options = {"DEFAULT": {"run_path": controller.run_path, "host": "host1"}}
    with ApiProcess(controller.topology, options=options) as api:
        reader = EventReader(api)
        ovs.plug("tapx", "00000000-0000-4000-8000-00000000dead")
        reader.wait("device-refused", device="tapx")
        wait_until(lambda: max(numbers(reader)) == max(journal(controller)), 20, lambda: str(numbers(reader)))
        controller.restart()
        wait_until(lambda: "controller-started" in [one.event for one in own(reader)], 30, lambda: str(reader.events()))
        wait_until(lambda: set(journal(controller)) <= set(numbers(reader)), 20, lambda: str(numbers(reader)))
        assert "gap" not in reader.events()
        controller.kill9()
        controller.start()
        controller.wait_ready()
        reader.wait("gap", missed=None, host="host1")
        wait_until(lambda: reader.events().count("controller-started") == 2, 30, lambda: str(reader.events()))
        reader.close()


def _reader(client: Client, last_event_id: str) -> EventReader | None:
    try:
        return EventReader(client, last_event_id)
    except OSError:
        return None
