"""Whoever is told of servers' ports hears of each what it should, whatever happens to it and to those that tell."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator

import pytest

from tests.support.certificates import Authority
from tests.support.host.metrics import Scrape
from tests.support.http.api_process import ApiProcess
from tests.support.http.receiver import Events, Receiver
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

TOKEN = "gAAAAABl-0123456789"


class Cloud:
    """An API that tells a receiver, and a network."""

    def __init__(self, api: ApiProcess, receiver: Receiver, database: OvsdbServer) -> None:
        self.api, self.receiver, self.database = api, receiver, database
        self.network = api.create("network")["id"]

    def port(self, device_owner: str = "compute:nova", device_id: str | None = None) -> tuple[str, str]:
        """A new port of a server; the ids of both."""
        server = str(uuid.uuid4()) if device_id is None else device_id
        made = self.api.create("port", network_id=self.network, device_id=server, device_owner=device_owner)
        return made["id"], server

    def report(self, status: str, *ports: str) -> None:
        """Write a status, as hosts do."""
        report(self.database, status, *ports)

    def wait_told(self, port_id: str, *names: str) -> None:
        """Wait until these events of a port were accepted, in this order."""
        wait_until(
            lambda: [name for name, _ in self.receiver.told(port_id)] == list(names),
            20, lambda: f"{names}, not {self.receiver.told(port_id)}\n{self.api.log_text()}",
        )  # fmt: skip

    def failed(self) -> float:
        """Events that could not be told."""
        return Scrape(self.api.port).value("tunbridge_api_notifications_sent_total", result="failed")

    def pending(self) -> float:
        """Events that are to be told."""
        return Scrape(self.api.port).value("tunbridge_api_notifications_pending")

    def sync(self) -> None:
        """Wait until whatever is to be told of what has happened was told."""
        port_id, _ = self.port()
        self.report("ACTIVE", port_id)
        self.wait_told(port_id, "plugged")


def report(database: OvsdbServer, status: str, *ports: str) -> None:
    """Write a status, as hosts do."""
    database.write(*(
        {"op": "update", "table": "Port", "where": [["id", "==", port]], "row": {"status": status}} for port in ports
    ))  # fmt: skip


def options(receiver: Receiver, **more: object) -> dict[str, dict[str, object]]:
    return {"notifications": {"url": receiver.url, "timeout": 6, **more}}


@pytest.fixture(scope="module")
def cloud(database: OvsdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """With TLS and a token."""
    directory = tmp_path_factory.mktemp("receiver")
    token = directory / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o640)
    identity = Authority(directory).certify("nova")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(identity.certificate, identity.key)
    with Receiver(tls) as receiver:
        own = options(receiver, token_file=token, ca_cert_file=identity.ca_cert)
        with ApiProcess(database.connection, options=own) as api:
            yield Cloud(api, receiver, database)


def test_the_life_of_a_port(cloud: Cloud) -> None:
    """Plugged when ACTIVE, unplugged when DOWN after that, by BUILD or not, deleted when it is; in Nova's words."""
    port_id, server = cloud.port()
    for status in ("BUILD", "ACTIVE", "DOWN", "ACTIVE", "BUILD"):
        cloud.report(status, port_id)
        cloud.sync()
    cloud.report("DOWN", port_id)
    cloud.wait_told(port_id, "plugged", "unplugged", "plugged", "unplugged")
    cloud.api.delete("port", port_id)
    cloud.wait_told(port_id, "plugged", "unplugged", "plugged", "unplugged", "deleted")
    assert {its for _, its in cloud.receiver.told(port_id)} == {server}
    path, head, events = next(one for one in cloud.receiver.requests if one[2][0]["tag"] == port_id)
    assert path == "/v2.1/os-server-external-events"
    assert (head["x-auth-token"], head["content-type"]) == (TOKEN, "application/json")
    assert events == [{"name": "network-vif-plugged", "server_uuid": server, "tag": port_id, "status": "completed"}]


def test_ports_of_no_server(cloud: Cloud) -> None:
    """Of ports that are no server's, or are it no more, nothing is told; another server's are told anew."""
    others = [cloud.port("network:dhcp"), cloud.port(""), cloud.port(device_id=""), cloud.port(device_id="vm1")]
    port_id, _ = cloud.port()
    cloud.report("ACTIVE", port_id, *(other for other, _ in others))
    cloud.wait_told(port_id, "plugged")
    second = str(uuid.uuid4())
    cloud.api.update("port", port_id, device_id=second)
    cloud.wait_told(port_id, "plugged", "plugged")
    assert cloud.receiver.told(port_id)[1][1] == second
    cloud.api.update("port", port_id, device_id="", device_owner="")
    cloud.report("DOWN", port_id)
    for other, _ in [*others, (port_id, "")]:
        cloud.api.delete("port", other)
    cloud.sync()
    cloud.wait_told(port_id, "plugged", "plugged")
    assert not any(cloud.receiver.told(other) for other, _ in others)


@pytest.mark.parametrize("trouble", ["500", "stall", "away"])
def test_trouble_of_the_receiver(cloud: Cloud, trouble: str) -> None:
    """Nobody waits for it; then the latest of each port is told, and of a port that was plugged anew that it was."""
    receiver, api = cloud.receiver, cloud.api
    (again, _), (gone, _), (new, _) = cloud.port(), cloud.port(), cloud.port()
    cloud.report("ACTIVE", again, gone)
    cloud.wait_told(again, "plugged")
    cloud.wait_told(gone, "plugged")
    failed, log = cloud.failed(), api.log_text()
    sent = len(receiver.requests)
    if trouble == "500":
        receiver.reply = lambda _: (500, {})
    elif trouble == "stall":
        receiver.stalled.set()
    else:
        receiver.stop()
    try:
        for status in ("DOWN", "ACTIVE"):
            cloud.report(status, again, new)
            wait_until(cloud.pending, 10, "something is due")
            if trouble == "stall" and status == "DOWN":
                wait_until(lambda: receiver.stalling, 10, "it is told")
                assert cloud.failed() == failed, "the request before this has waited for the receiver"
        if trouble == "500":
            wait_until(lambda: len(receiver.requests) >= sent + 2, 20, "it is tried again")
        api.delete("port", gone)
        wait_until(
            lambda: cloud.failed() > failed,
            20, "it has failed",
        )  # fmt: skip
    finally:
        receiver.reply = lambda events: (200, {"events": events})
        receiver.stalled.clear()
        if trouble == "away":
            receiver.start()
    cloud.wait_told(gone, "plugged", "deleted")
    cloud.wait_told(new, "plugged")
    wait_until(
        lambda: [name for name, _ in receiver.told(again)][-1] == "plugged" and len(receiver.told(again)) > 1,
        20,
        "again",
    )
    wait_until(lambda: not cloud.pending(), 20, "nothing is due")
    said = api.log_text()[len(log) :]
    assert said.count("trying again until it is") == 1, said
    assert said.count("is told events again") == 1, said
    assert receiver.url in said


def test_events_that_nova_does_not_take(cloud: Cloud) -> None:
    """What it refuses is told once; the others of the same request are taken."""
    receiver = cloud.receiver
    (known, _), (unknown, server), (failing, _) = cloud.port(), cloud.port(), cloud.port()
    codes = {known: 200, unknown: 404, failing: 503}

    def reply(events: Events) -> tuple[int, object]:
        return 207, {"events": [{**event, "code": codes.get(event["tag"], 200)} for event in events]}

    receiver.reply = reply
    cloud.report("ACTIVE", known, unknown, failing)
    cloud.wait_told(known, "plugged")
    wait_until(lambda: sum(failing in str(events) for *_, events in receiver.requests) > 1, 20, "it is sent again")
    first, second, *_ = (
        when for when, (*_, events) in zip(receiver.times, receiver.requests, strict=False) if failing in str(events)
    )
    assert second - first > 0.45, "it is left no time"
    codes[failing] = 200
    cloud.wait_told(failing, "plugged")
    assert sum(unknown in str(events) for *_, events in receiver.requests) == 1
    assert f"takes no 1 event, network-vif-plugged of port {unknown}, server {server}: " in cloud.api.log_text()
    receiver.reply = lambda _: (404, {"itemNotFound": {"code": 404, "message": "No instances found for any event"}})
    cloud.report("DOWN", known, unknown)
    wait_until(lambda: known in str(receiver.requests[-1]), 20, "they are sent")
    receiver.reply = lambda events: (200, {"events": events})
    cloud.sync()
    cloud.wait_told(known, "plugged")


def test_one_event_that_is_refused_with_all_others(cloud: Cloud) -> None:
    """Is found, and the others are told without it; there are never more than 100 in a request."""
    receiver, server = cloud.receiver, str(uuid.uuid4())
    wanted = {"network_id": cloud.network, "device_id": server, "device_owner": "compute:nova"}
    made = cloud.api.request("POST", "/v2.0/ports", {"ports": [wanted] * 130}).json["ports"]
    *ports, wrong = (port["id"] for port in made)
    receiver.reply = lambda events: (400, {}) if wrong in str(events) else (200, {"events": events})
    cloud.report("ACTIVE", *ports, wrong)
    wait_until(lambda: len({one["tag"] for one in receiver.accepted}.intersection(ports)) == len(ports), 20, "all")
    cloud.sync()
    assert not receiver.told(wrong)
    assert max(len(events) for *_, events in receiver.requests) == 100
    receiver.reply = lambda events: (200, {"events": events})


def test_another_process_takes_over(stopped_database: OvsdbServer) -> None:
    """One of two tells, each thing once; when it is killed, the other one tells what there is to tell, and so does one
    that is started when nobody has run. It ends, though the receiver does not answer."""
    database = stopped_database.start()
    with Receiver() as receiver:
        with ApiProcess(database.connection, options=options(receiver)) as first:
            cloud = Cloud(first, receiver, database)
            with ApiProcess(database.connection, options=options(receiver)) as second:
                deleted, down, unseen = (cloud.port()[0] for _ in range(3))
                cloud.report("ACTIVE", deleted, down, unseen)
                for port_id in (deleted, down, unseen):
                    cloud.wait_told(port_id, "plugged")
                receiver.reply = lambda _: (503, {})
                second.delete("port", deleted)
                cloud.report("DOWN", down)
                wait_until(lambda: receiver.requests[-1][2][0]["name"] != "network-vif-plugged", 20, "it is tried")
                first.kill()
                receiver.reply = lambda events: (200, {"events": events})
                cloud.wait_told(deleted, "plugged", "deleted")
                cloud.wait_told(down, "plugged", "unplugged")
        cloud.report("DOWN", unseen)
        cloud.report("ACTIVE", down)
        with ApiProcess(database.connection, options=options(receiver, timeout=300)) as third:
            cloud = Cloud(third, receiver, database)
            cloud.wait_told(unseen, "plugged", "unplugged")
            cloud.wait_told(down, "plugged", "unplugged", "plugged")
            cloud.sync()
            receiver.stalled.set()
            cloud.report("DOWN", down)
            wait_until(lambda: receiver.stalling, 20, "it is told")
        assert receiver.told(deleted) == receiver.told(deleted)[:2]
