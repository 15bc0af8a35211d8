"""``/v2.0/tunbridge/events``: what happens in the topology is told, each event once to each who reads."""

from __future__ import annotations

import random
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.status.events_page import kinds
from tests.support.certificates import make_pki
from tests.support.host.metrics import Scrape
from tests.support.http.api_process import ApiProcess, Client
from tests.support.http.event_reader import EventReader
from tests.support.http.tokens import ANN, BOSS, RITA, write_tokens
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

PATH = "/v2.0/tunbridge/events"
STREAMS = "tunbridge_api_event_streams"


@pytest.fixture
def reader(api: ApiProcess) -> Iterator[EventReader]:
    made = EventReader(api)
    yield made
    made.close()


def created(reader: EventReader) -> list[str]:
    """Ids of the ports of which it was told that they are new."""
    return [message.data["fields"]["port"] for message in reader.messages if message.event == "port-created"]


def test_what_happens_in_the_topology(api: ApiProcess, database: OvsdbServer, reader: EventReader) -> None:
    """Networks, ports and hosts that come, change and go; in order, as declared, and nothing else."""
    network = api.create("network", name='é "1"')["id"]
    port = api.create("port", network_id=network, name="p")["id"]
    where = [["id", "==", port]]
    database.write({"op": "update", "table": "Port", "where": where, "row": {"status": "ACTIVE", "host": "h1"}})
    reader.wait("port-status")
    api.update("port", port, admin_state_up=False)
    api.update("network", network, name="other")
    database.write({"op": "insert", "table": "Host", "row": {"name": "h1"}})
    reader.wait("host-joined")
    database.write({"op": "delete", "table": "Host", "where": [["name", "==", "h1"]]})
    reader.wait("host-left")
    api.delete("port", port)
    api.delete("network", network)
    reader.wait("network-deleted", network=network)
    assert [(message.event, message.data["fields"]) for message in reader.messages] == [
        ("network-created", {"network": network, "name": 'é "1"'}),
        ("port-created", {"port": port, "network": network, "name": "p"}),
        ("port-status", {"port": port, "network": network, "port_status": "ACTIVE", "host": "h1"}),
        ("port-updated", {"port": port, "network": network, "name": "p"}),
        ("network-updated", {"network": network, "name": "other"}),
        ("host-joined", {"host": "h1"}),
        ("host-left", {"host": "h1"}),
        ("port-deleted", {"port": port, "network": network}),
        ("network-deleted", {"network": network}),
    ]
    for _, event, data in reader.messages:
        assert list(data) == ["id", "time", "event", "severity", "message", "fields", "host"]
        assert (data["id"], data["host"], data["event"]) == (None, None, event)
        assert (data["severity"], tuple(data["fields"])) == (kinds()[event].severity.value, kinds()[event].names)
    assert reader.status == 200
    assert reader.headers["content-type"] == "text/event-stream"
    assert reader.headers["cache-control"] == "no-store"


def test_none_is_lost_and_none_is_told_twice(api: ApiProcess) -> None:
    """However often a client is cut off, at whatever moment, and comes back with the id of its last message."""
    network = api.create("network")["id"]
    whole = EventReader(api)
    part = EventReader(api)
    told: list[str] = []
    chance = random.Random(7)
    made: list[str] = []
    for _ in range(30):
        answer = api.request("POST", "/v2.0/ports", {"ports": [{"network_id": network}] * chance.randint(1, 9)})
        made += [port["id"] for port in answer.json["ports"]]
        if chance.random() < 0.7:
            time.sleep(chance.random() * 0.1)
            part.close()
            told += created(part)
            if chance.random() < 0.3:
                made.append(api.create("port", network_id=network)["id"])
            part = EventReader(api, part.last_event_id)
            assert part.status == 200
    wait_until(lambda: len(created(whole)) == len(made), 30, lambda: f"{len(created(whole))} of {len(made)}")
    wait_until(lambda: len(told) + len(created(part)) >= len(made), 30, lambda: f"{len(told)} of {len(made)}")
    for reader in (whole, part):
        reader.close()
    told += created(part)
    assert sorted(created(whole)) == sorted(made)
    assert sorted(told) == sorted(made)
    assert "gap" not in [*whole.events(), *part.events()]


@pytest.mark.parametrize("last", ["0badf00d-3", "0badf00d-3-0123456789ab-17", "nonsense", "¹"])
def test_an_id_that_is_not_of_this_process(api: ApiProcess, last: str) -> None:
    """A gap of which nobody knows how much is in it, and then all that there is."""
    network = api.create("network")["id"]
    reader = EventReader(api, headers={"Last-Event-ID": last.encode().decode("latin-1")})
    reader.wait("network-created", network=network)
    reader.close()
    assert (reader.messages[0].event, reader.messages[0].data) == ("gap", {"missed": None})
    assert reader.events().count("gap") == 1


def test_all_that_there_is_still(api: ApiProcess) -> None:
    """For who says that it has nothing yet; in the query too. There is no gap."""
    network = api.create("network")["id"]
    for reader in (EventReader(api, "0"), EventReader(api, query="?last_event_id=0")):
        reader.wait("network-created", network=network)
        reader.close()
        assert "gap" not in reader.events()


def test_a_client_that_says_nothing_is_told_from_now_on(api: ApiProcess) -> None:
    """And where that is, so that it can come back before anything has happened."""
    before = api.create("network")["id"]
    first = EventReader(api)
    wait_until(lambda: first.last_event_id, 20, "it was told where it is")
    first.close()
    after = api.create("network")["id"]
    second = EventReader(api, first.last_event_id)
    second.wait("network-created", network=after)
    second.close()
    assert first.messages == []
    assert before not in {message.data["fields"].get("network") for message in second.messages}


def test_hosts_that_are_silent(database: OvsdbServer) -> None:
    """Once each time, and in the log too; who was never heard of, or is deleted, is not silent."""
    down = {"agent": {"report_interval": "1", "agent_down_time": "2"}}

    def seen(name: str, ago: float) -> None:
        last = int((time.time() - ago) * 1000)
        row = {"name": name, "last_seen": last}
        database.write(
            {"op": "delete", "table": "HostState", "where": [["name", "==", name]]},
            {"op": "insert", "table": "HostState", "row": row},
        )

    for name in ("h1", "h2", "never"):
        database.write({"op": "insert", "table": "Host", "row": {"name": name}})
    seen("h1", 5)
    seen("h2", -3600)
    with ApiProcess(database.connection, options=down) as api:
        reader = EventReader(api, "0")
        silent = reader.wait("host-silent", host="h1")
        assert silent.data["severity"] == "WARNING"
        assert silent.data["fields"]["last_seen"].endswith("Z")
        seen("h1", 0)
        reader.wait("host-heard", host="h1")
        wait_until(lambda: reader.events().count("host-silent") == 2, 30, "it is silent again")
        seen("h1", -3600)
        wait_until(lambda: reader.events().count("host-heard") == 2, 30, "it is heard of again")
        told = [(one.event, one.data["fields"]["host"]) for one in reader.messages if one.event.startswith("host-")]
        assert told == [("host-silent", "h1"), ("host-heard", "h1")] * 2
        assert "host h1 is silent: it was last heard of" in api.log_text()
        assert "[host-silent]" in api.log_text()
        reader.close()
    database.write(
        *({"op": "delete", "table": "Host", "where": [["name", "==", name]]} for name in ("h1", "h2", "never"))
    )


def test_who_may_read(database: OvsdbServer, tmp_path: Path) -> None:
    """Administrators, over TLS; others are told why not, and have no stream."""
    pki = make_pki(tmp_path)
    options = {
        "api": {
            "auth_strategy": "token",
            "token_file": write_tokens(tmp_path / "tokens.yaml"),
            "ssl_key_file": pki.right.key,
            "ssl_cert_file": pki.right.certificate,
        }
    }
    tls = ssl.create_default_context(cafile=str(pki.authority.ca_cert))
    with ApiProcess(database.connection, options=options, tls=tls) as api:
        assert api.request("GET", PATH).status == 401
        for token in (ANN, RITA):
            answer = api.with_token(token).request("GET", PATH)
            assert (answer.status, answer.error) == (403, "PolicyNotAuthorized")
        boss = api.with_token(BOSS)
        reader = EventReader(boss)
        network = boss.create("network")["id"]
        reader.wait("network-created", network=network)
        api.terminate()
        assert reader.ended.wait(60)
        reader.close()


def test_as_many_as_may_and_their_end(database: OvsdbServer) -> None:
    """One more is answered 503; who has gone makes room; an end of the process ends all of them."""
    with ApiProcess(database.connection, options={"api": {"max_event_streams": "3"}}) as api:
        for _ in range(3):
            readers = [EventReader(api) for _ in range(3)]
            refused = api.request("GET", PATH)
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            assert "max_event_streams" in refused.message
            assert Scrape(api.port).value(STREAMS) == 3
            network = api.create("network")["id"]
            for reader in readers:
                reader.wait("network-created", network=network)
            for reader in readers:
                reader.close()
            wait_until(lambda: Scrape(api.port).value(STREAMS) == 0, 20, "all have gone")
        count = "tunbridge_api_event_messages_total"
        assert Scrape(api.port).value(count) == 4  # and that the database was connected
        readers = [EventReader(api) for _ in range(3)]
        api.terminate()
        for reader in readers:
            assert reader.ended.wait(60)
            reader.close()


def test_an_outage_of_the_topology(stopped_database: OvsdbServer) -> None:
    """What has changed meanwhile is told when it is back, each once, and the rest is not."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as api:
        network = api.create("network")["id"]
        stays, goes = (api.create("port", network_id=network)["id"] for _ in range(2))
        reader = EventReader(api)
        database.kill()
        reader.wait("database-lost")
        database.start()
        reader.wait("database-connected")
        api.wait_healthy()
        api.delete("port", goes)
        reader.wait("port-deleted", port=goes)
        reader.close()
        counts: Counter[Any] = Counter(
            (message.event, message.data["fields"].get("port", "")) for message in reader.messages
        )
        assert counts == {("database-lost", ""): 1, ("database-connected", ""): 1, ("port-deleted", goes): 1}
        assert stays != goes


def test_it_is_no_page_of_another_method(api: ApiProcess) -> None:
    """Nor is a body a reason not to answer."""
    assert api.request("POST", PATH, {}).status == 405
    assert api.request("HEAD", PATH).status == 405
    assert Client(api.port).request("GET", f"/v2.0/tunbridge/{uuid.uuid4()}").status == 404
