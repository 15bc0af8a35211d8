"""What was told of ports is remembered, and one of several tells the rest, whatever comes between."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.notification_rows import Notifications
from topology.errors import TopologyError
from topology.model import PortStatus
from topology.rules.server_events import Event, Seen, Told, after, due, seen, to_remember

SERVER, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
ACTIVE, BUILD, DOWN = PortStatus.ACTIVE, PortStatus.BUILD, PortStatus.DOWN


def add(server: OvsdbServer, *names: str, status: str = "DOWN", owner: str = "compute:nova") -> None:
    """Insert ports of a server."""
    rows = [
        port_operation(
            name, ["named-uuid", "network"], f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
            device_id=SERVER, device_owner=owner, status=status,
        )
        for number, name in enumerate(names)
    ]  # fmt: skip
    network = network_operations(f"n-{names[0]}", number=1 + len(server.rows("Network", "id")))
    server.write(*network, *rows)


def report(server: OvsdbServer, status: str, *names: str) -> None:
    """Give ports a status."""
    server.write(*(
        {"op": "update", "table": "Port", "where": [["id", "==", name]], "row": {"status": status}} for name in names
    ))  # fmt: skip


@contextmanager
def followed(server: OvsdbServer) -> Iterator[Notifications]:
    notifications = Notifications(server.connection)
    notifications.start()
    try:
        yield notifications
    finally:
        notifications.stop()


def wait_due(notifications: Notifications, *wanted: tuple[str, str]) -> list[Event]:
    """Wait until exactly this is due: names of event and port."""

    def names() -> list[tuple[str, str]]:
        return sorted((one.name.removeprefix("network-vif-"), one.port_id) for one in notifications.due(10000))

    wait_until(lambda: names() == sorted(wanted), 10, lambda: f"{wanted}, not {names()}")
    return notifications.due(10000)


def wait_seen(notifications: Notifications, status: str) -> None:
    """Wait until port a has this status there."""
    ports = notifications._ports.values
    wait_until(lambda: notifications.connected and ports["a"].status == status, 10, status)


def test_it_is_remembered_by_who_comes_next(server: OvsdbServer) -> None:
    """What was told is not told again, and what was not is, be it of a port that is gone or came meanwhile."""
    add(server, "a", "b", "c", status="ACTIVE")
    with followed(server) as first:
        wait_until(lambda: first.locked, 10, "it leads")
        events = wait_due(first, ("plugged", "a"), ("plugged", "b"), ("plugged", "c"))
        first.told(one for one in events if one.port_id != "c")
        wait_due(first, ("plugged", "c"))
    server.write({"op": "delete", "table": "Port", "where": [["id", "==", "a"]]})
    report(server, "DOWN", "b")
    add(server, "d")
    with followed(server) as second:
        wait_until(lambda: second.locked, 10, "it leads")
        second.told(wait_due(second, ("deleted", "a"), ("unplugged", "b"), ("plugged", "c")))
        wait_due(second)
        assert second.pending == 0
    assert server.rows("Notification", "port_id", "status", "device_id") == [
        {"device_id": SERVER, "port_id": "b", "status": "DOWN"},
        {"device_id": SERVER, "port_id": "c", "status": "ACTIVE"},
        {"device_id": SERVER, "port_id": "d", "status": "DOWN"},
    ]


def test_one_leads(server: OvsdbServer) -> None:
    """The other has nothing to tell, and cannot remember anything, until the first one ends."""
    with ExitStack() as stack:
        first = stack.enter_context(followed(server))
        wait_until(lambda: first.locked, 10, "it leads")
        add(server, "a", status="ACTIVE")
        with followed(server) as second:
            wait_seen(second, "ACTIVE")
            events = wait_due(first, ("plugged", "a"))
            assert (second.due(10), second.locked) == ([], False)
            with pytest.raises(TopologyError, match="not locked"):
                second.told(events)
            first.told(events)
            for status in ("DOWN", "ACTIVE"):  # both see it, and the first one tells it
                report(server, status, "a")
                wait_seen(first, status)
                wait_seen(second, status)
            first.told(wait_due(first, ("plugged", "a")))
            assert second.due(10) == []
            add(server, "b", status="ACTIVE")
            wait_due(first, ("plugged", "b"))
            stack.close()
            wait_until(lambda: second.locked, 10, "it leads")
            wait_due(second, ("plugged", "b"))


def test_what_cannot_be_remembered_is_not_forgotten(server: OvsdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses to remember a port is asked again."""
    add(server, "a", status="ACTIVE")
    with followed(server) as first:
        wait_until(lambda: first.locked, 10, "it leads")
        with monkeypatch.context() as patch:
            patch.setattr(first, "_write", refuse)
            with pytest.raises(TopologyError, match="full"):
                first.due(1)
        wait_due(first, ("plugged", "a"))


def refuse(*_: object) -> None:
    raise TopologyError("the disk is full")


def test_a_port_that_was_down_for_a_moment(server: OvsdbServer) -> None:
    """Is told to be plugged anew, also by who comes next, and also when it was so while it was told the first time."""
    add(server, "a", status="ACTIVE")
    with followed(server) as first:
        wait_until(lambda: first.locked, 10, "it leads")
        events = wait_due(first, ("plugged", "a"))
        for status in ("DOWN", "ACTIVE"):
            report(server, status, "a")
            wait_seen(first, status)
        first.told(events)
        first.told(wait_due(first, ("plugged", "a")))
        wait_due(first)
        report(server, "BUILD", "a")
        wait_until(lambda: first.due(1) or server.rows("Notification", "status") == [{"status": "BUILD"}], 10, "left")
    report(server, "ACTIVE", "a")
    with followed(server) as second:
        wait_until(lambda: second.locked, 10, "it leads")
        second.told(wait_due(second, ("plugged", "a")))
        wait_due(second)


def test_many(server: OvsdbServer) -> None:
    """More than are looked at in one go; the first of them are told first, and of others nothing is."""
    names = [f"p{number:04}" for number in range(1100)]
    for begin in range(0, len(names), 300):  # as many as a command line has room for
        add(server, *names[begin : begin + 300], status="ACTIVE")
    add(server, "dhcp", status="ACTIVE", owner="network:dhcp")
    with followed(server) as first:
        wait_until(lambda: first.locked, 10, "it leads")
        wait_until(lambda: first.due(1) and first.pending == len(names), 10, "all are due")
        batch = first.due(100)
        assert len(batch) == 100
        first.told(batch)
        again = first.due(100)
        assert not {one.port_id for one in batch} & {one.port_id for one in again}
    assert len(server.rows("Notification", "port_id")) == len(names)


@pytest.mark.parametrize(
    ("told", "now", "left", "kept", "event"),
    [
        (None, None, False, None, None),
        (None, Seen(None, ACTIVE), False, None, None),
        (None, Seen(SERVER, BUILD), False, Told(SERVER, DOWN), None),
        (None, Seen(SERVER, ACTIVE), False, Told(SERVER, DOWN), "plugged"),
        (Told(SERVER, DOWN), Seen(SERVER, DOWN), True, Told(SERVER, DOWN), None),
        (Told(SERVER, ACTIVE), Seen(SERVER, ACTIVE), False, Told(SERVER, ACTIVE), None),
        (Told(SERVER, ACTIVE), Seen(SERVER, ACTIVE), True, Told(SERVER, BUILD), "plugged"),
        (Told(SERVER, ACTIVE), Seen(SERVER, BUILD), False, Told(SERVER, BUILD), None),
        (Told(SERVER, ACTIVE), Seen(SERVER, DOWN), False, Told(SERVER, BUILD), "unplugged"),
        (Told(SERVER, BUILD), Seen(SERVER, DOWN), False, Told(SERVER, BUILD), "unplugged"),
        (Told(SERVER, BUILD), None, False, Told(SERVER, BUILD), "deleted"),
        (Told(SERVER, DOWN), None, False, Told(SERVER, DOWN), "deleted"),
        (Told(SERVER, ACTIVE), Seen(OTHER, ACTIVE), False, Told(OTHER, DOWN), "plugged"),
        (Told(SERVER, ACTIVE), Seen(None, DOWN), False, None, None),
    ],
)
def test_what_follows_from_what_was_told(
    told: Told | None, now: Seen | None, left: bool, kept: Told | None, event: str | None
) -> None:
    assert to_remember(told, now, left=left) == kept
    found = due("p", kept, now)
    assert (found and found.name) == (event and f"network-vif-{event}")
    if found is not None:
        assert due("p", after(found), now) is None


@pytest.mark.parametrize(
    ("device_id", "owner", "is_server"),
    [
        (SERVER, "compute:nova", True),
        (SERVER.replace("-", ""), "compute:", True),
        (SERVER, "network:dhcp", False),
        ("", "compute:nova", False),
        ("vm1", "compute:nova", False),
    ],
)
def test_whose_ports_are_told(device_id: str, owner: str, is_server: bool) -> None:
    """As in Neutron: Nova refuses all events of a request with an id that is none."""
    assert seen(device_id, owner, ACTIVE) == Seen(device_id if is_server else None, ACTIVE)
