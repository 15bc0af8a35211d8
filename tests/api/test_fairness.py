"""Nobody waits for all that another project asks for, and what is said of a change is so."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from controller.config.http_limits import HttpLimits
from tests.support.http.api_process import Answer, ApiProcess, Client
from tests.support.http.tokens import ANN, BEN, BOSS, write_tokens
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

PART = HttpLimits().bulk_part_size
MANY = 2 * PART + 20
LARGE = 1000


@pytest.fixture(scope="module")
def api(database: OvsdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One that knows tokens, with no limit of what a project may have."""
    tokens = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.yaml")
    options = {
        "api": {"auth_strategy": "token", "token_file": tokens},
        "quotas": {"quota_port": "-1", "quota_network": "-1"},
    }
    with ApiProcess(database.connection, options=options) as process:
        yield process


def network(client: Client, cidr: str) -> str:
    """Id of a network with one subnet."""
    made = str(client.create("network")["id"])
    client.create("subnet", network_id=made, cidr=cidr, ip_version=4)
    return made


def number_of_ports(client: Client, network_id: str) -> int:
    return len(client.get(f"/ports?network_id={network_id}&fields=id")["ports"])


@pytest.mark.timeout(600)
def test_another_project_is_served_between_the_parts_of_large_requests(api: ApiProcess) -> None:
    """Four at once by one member: each of another's requests is done while all of them are under way."""
    ann, ben = api.with_token(ANN), api.with_token(BEN)
    ann.patience = 300
    networks = [network(ann, f"10.{number}.0.0/16") for number in range(4)]
    other = network(ben, "10.9.0.0/16")
    answers: dict[str, Answer] = {}

    def create(network_id: str) -> None:
        ports = {"ports": [{"network_id": network_id}] * LARGE}
        answers[network_id] = ann.request("POST", "/v2.0/ports", ports)

    threads = [threading.Thread(target=create, args=(one,)) for one in networks]
    for thread in threads:
        thread.start()
    for _ in range(3):
        ben.create("port", network_id=other)
    under_way = sum(thread.is_alive() for thread in threads)
    port = ben.create("port", network_id=other)
    ben.update("port", port["id"], name="changed")
    ben.delete("port", port["id"])
    for thread in threads:
        thread.join()
    assert under_way == 4
    assert number_of_ports(ben, other) == 3
    for one in networks:
        assert number_of_ports(ann, one) == (LARGE if answers[one].status == 201 else 0)
    assert {answer.status for answer in answers.values()} == {201}


def test_a_large_request_is_answered_in_its_order(api: ApiProcess) -> None:
    """And what a late object names is given to none before it."""
    ann = api.with_token(ANN)
    one = network(ann, "10.20.0.0/16")
    first = ann.create("port", network_id=one)["mac_address"]
    nearby = [f"{first[:-2]}{(int(first[-2:], 16) + step) % 256:02x}" for step in (1, 2, 3)]
    ports = [{"network_id": one, "name": f"p{number}"} for number in range(MANY)]
    for late, mac in zip(ports[-3:], nearby, strict=True):
        late["mac_address"] = mac
    answer = ann.request("POST", "/v2.0/ports", {"ports": ports})
    assert answer.status == 201, answer.json
    made = answer.json["ports"]
    assert [port["name"] for port in made] == [f"p{number}" for number in range(MANY)]
    assert [port["mac_address"] for port in made[-3:]] == nearby
    assert len({port["mac_address"] for port in made}) == MANY


@pytest.mark.parametrize("at", [PART - 1, PART, MANY - 1])
def test_a_large_request_that_fails_makes_nothing(api: ApiProcess, at: int) -> None:
    """Whichever of its objects it is that cannot be."""
    ann = api.with_token(ANN)
    one = network(ann, "10.30.0.0/16")
    taken = ann.create("port", network_id=one)["mac_address"]
    ports = [{"network_id": one} for _ in range(MANY)]
    ports[at]["mac_address"] = taken
    answer = ann.request("POST", "/v2.0/ports", {"ports": ports})
    assert (answer.status, answer.error) == (409, "MacAddressInUse")
    assert number_of_ports(ann, one) == 1


def test_networks_of_a_large_request_that_fails_are_not_there(api: ApiProcess) -> None:
    boss = api.with_token(BOSS)
    networks = [{"name": "of one request", "project_id": "p"} for _ in range(MANY)]
    taken = {name: value for name, value in boss.create("network").items() if name.startswith("provider:")}
    networks.append({"name": "of one request", **taken})
    assert boss.request("POST", "/v2.0/networks", {"networks": networks}).status == 409
    assert boss.get("/networks?name=of+one+request")["networks"] == []


def test_a_large_request_needs_room_for_all_of_it_before_it_begins(api: ApiProcess) -> None:
    """Else others of the project would find none while it is under way."""
    boss, ann = api.with_token(BOSS), api.with_token(ANN)
    one = network(ann, "10.40.0.0/16")
    used = boss.request("GET", "/v2.0/quotas/demo/details").json["quota"]["port"]["used"]
    assert boss.request("PUT", "/v2.0/quotas/demo", {"quota": {"port": used + MANY - 1}}).status == 200
    try:
        answer = ann.request("POST", "/v2.0/ports", {"ports": [{"network_id": one}] * MANY})
        assert (answer.status, answer.error) == (409, "OverQuota")
        assert number_of_ports(ann, one) == 0
        assert ann.request("POST", "/v2.0/ports", {"ports": [{"network_id": one}] * (MANY - 1)}).status == 201
    finally:
        assert boss.request("DELETE", "/v2.0/quotas/demo").status == 204


def test_a_process_that_dies_leaves_the_parts_that_it_has_made(database: OvsdbServer) -> None:
    """And nothing of the one that it was at."""
    with ApiProcess(database.connection) as survivor, ApiProcess(database.connection) as dying:
        one = network(survivor, "10.50.0.0/16")
        request = threading.Thread(target=_unanswered, args=(dying, {"ports": [{"network_id": one}] * LARGE}))
        request.start()
        wait_until(lambda: number_of_ports(survivor, one) > 0, 60, "a part is there")
        dying.kill()
        request.join()
        made = number_of_ports(survivor, one)
        assert made % PART == 0
        assert 0 < made < LARGE


def _unanswered(client: Client, body: object) -> None:
    with pytest.raises(OSError):
        client.request("POST", "/v2.0/ports", body)
