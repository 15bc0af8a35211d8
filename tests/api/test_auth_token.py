"""``auth_strategy = token``: who is let in, how others are refused, and with which clients it is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.http.openstack import Openstack
from tests.support.http.tokens import ANN, BEN, BOSS, RITA, sha256, write_tokens
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

STRANGER = "stranger-0123456789abcdef"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.yaml")


@pytest.fixture(scope="module")
def api(database: OvsdbServer, tokens: Path) -> Iterator[ApiProcess]:
    """One that knows tokens and logs all that it can."""
    options = {"api": {"auth_strategy": "token", "token_file": tokens}, "DEFAULT": {"debug": "true"}}
    with ApiProcess(database.connection, options=options) as process:
        yield process
        log = process.log_text()
        for token in (BOSS, ANN, BEN, RITA, STRANGER):
            assert token not in log
            assert sha256(token) not in log


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": STRANGER}, {"X-Auth-Token": ""}, {"X-Auth-Token": ANN[:-1]}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2.0/networks"),
        ("POST", "/v2.0/networks"),
        ("DELETE", "/v2.0/networks/00000000-0000-4000-8000-000000000000"),
        ("GET", "/v2.0"),
        ("GET", "/v2.0/extensions"),
        ("GET", "/v2.0/agents"),
        ("GET", "/v2.0/quotas"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "/healthz/nothing"),
        ("TRACE", "/nothing"),
    ],
)
def test_nobody_gets_further_than_the_door(api: ApiProcess, method: str, path: str, headers: dict[str, str]) -> None:
    """In the words of keystonemiddleware, which clients understand; whatever the path and the method."""
    answer = api.request(method, path, {"network": {}} if method == "POST" else None, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Token realm="Network API"'
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.json["error"] == {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }


@pytest.mark.parametrize("path", ["/", "/healthz", "/openapi.json"])
def test_what_says_nothing_of_anybody_is_for_everybody(api: ApiProcess, path: str) -> None:
    assert api.request("GET", path).status == 200


def test_what_is_made_is_of_the_project_of_the_token(api: ApiProcess) -> None:
    for token, project in ((ANN, "demo"), (BEN, "other"), (BOSS, "")):
        assert api.with_token(token).create("network")["project_id"] == project


def test_the_log_says_who_it_was(api: ApiProcess) -> None:
    """And whose token it was; not what it is."""
    answer = api.with_token(RITA).request("GET", "/v2.0/networks")
    request_id = answer.headers["x-openstack-request-id"]
    line = wait_until(
        lambda: next((line for line in api.log_text().splitlines() if request_id in line), ""), 10, "it is in the log"
    )
    assert ' 127.0.0.1 rita "GET /v2.0/networks HTTP/1.1" 200 ' in line


def test_a_new_file_counts_from_the_next_request_on(database: OvsdbServer, tmp_path: Path) -> None:
    """A broken one does not count at all, which is logged once."""
    path = write_tokens(tmp_path / "tokens.yaml")
    options = {"api": {"auth_strategy": "token", "token_file": path}}
    with ApiProcess(database.connection, options=options) as api:
        ann, stranger = api.with_token(ANN), api.with_token(STRANGER)
        assert stranger.request("GET", "/v2.0/networks").status == 401
        good = path.read_text().replace(sha256(ANN), sha256(STRANGER))
        path.write_text(good)
        assert stranger.request("GET", "/v2.0/networks").status == 200
        assert ann.request("GET", "/v2.0/networks").status == 401
        path.write_text(good.replace("member", "master"))
        for _ in range(3):
            assert stranger.request("GET", "/v2.0/networks").status == 200
        path.unlink()
        assert stranger.request("GET", "/v2.0/networks").status == 200
        log = api.log_text()
        assert log.count("ERROR") == 2
        complaint = f"[api] token_file: cannot use {path}: line 8: expected one of the roles admin, member, reader"
        assert log.count(complaint) == 1
        assert log.count(f"cannot use {path}: No such file or directory; the tokens that were there before") == 1


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
)
def test_a_body_needs_no_type_beside_a_token(api: ApiProcess, kind: str) -> None:
    """As in Neutron; no page can have a browser send a token."""
    headers = {"X-Auth-Token": ANN, "Content-Type": kind}
    answer = api.request("POST", "/v2.0/networks", {"network": {"name": "typeless"}}, headers=headers)
    assert (answer.status, answer.json["network"]["name"]) == (201, "typeless")
    path = f"/v2.0/networks/{answer.json['network']['id']}"
    assert api.request("PUT", path, {"network": {"name": "x"}}, headers=headers).status == 200
    answer = api.request("PUT", path, b"name=x", headers=headers)
    assert (answer.status, answer.error) == (400, "HTTPBadRequest")
    assert api.request("PUT", path, {"network": {"name": "y"}}, headers={"Content-Type": kind}).status == 401


def test_the_clients(api: ApiProcess) -> None:
    """The command and the library, with ``--os-auth-type admin_token``, which the endpoint belongs to."""
    made, listed = Openstack(api.url, ANN).batch("network create mine", "network list --name mine")
    assert made["project_id"] == "demo"
    assert made["id"] in [one["ID"] for one in listed]
    auth = {"endpoint": api.url, "token": BEN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="admin_token", auth=auth)
        with connection:
            sdk = connection.network
            assert sdk.create_network(name="sdk").project_id == "other"
            assert sdk.find_network("mine") is None
        stranger = {"endpoint": api.url, "token": STRANGER}
        with (
            openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="admin_token", auth=stranger) as it,
            pytest.raises(openstack.exceptions.HttpException, match="you have made requires authentication"),
        ):
            list(it.network.networks())
