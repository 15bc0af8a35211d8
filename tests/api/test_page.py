"""The page for operators: off unless asked for, its files and their headers, and what it asks of this host."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from controller.config.http_limits import HttpLimits
from controller.network_api import application, host_routes
from controller.network_api.event_stream.event_stream import EventStream
from controller.network_api.page.page_files import HEADERS, page_files, page_paths
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers
from controller.status.control_client import call
from tests.support.http.api_process import ApiProcess, Client
from tests.support.http.tokens import ANN, BOSS, RITA, write_tokens
from tests.topology.ovsdb import OvsdbServer
from topology.database.resource_database import ResourceDatabase
from topology.model import NetworkType
from topology.rules.access.policy import ADMIN
from topology.rules.allocation.segment_allocation import AllocationPolicy

HOST = "/v2.0/tunbridge/host"
STATIC = Path(application.__file__).parent / "page" / "static"


class Fetched:
    """An answer whose body is no JSON."""

    def __init__(
        self, client: Client, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            self.status = response.status
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            self.body = response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def paged(database: OvsdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """An API with the page, on a machine without a controller, which asks for tokens."""
    folder = tmp_path_factory.mktemp("page")
    options = {
        "DEFAULT": {"run_path": folder / "run"},
        "api": {"page": "true", "auth_strategy": "token", "token_file": write_tokens(folder / "tokens.yaml")},
    }
    with ApiProcess(database.connection, options=options) as process:
        yield process


def test_it_is_off_unless_asked_for(api: ApiProcess) -> None:
    """Neither its files nor what it asks of the host are there, nor documented."""
    for path in ("/page", "/page/", "/page/main.js", f"{HOST}/status", f"{HOST}/flows/br-int"):
        assert api.request("GET", path).status == 404
    assert api.request("POST", f"{HOST}/trace", {"trace": {}}).status == 404
    assert not [path for path in api.request("GET", "/openapi.json").json["paths"] if "tunbridge/host" in path]


def test_files_are_open_and_guarded(paged: ApiProcess) -> None:
    """Whoever connects reads them, they have no secrets; a browser runs nothing but them, and frames them nowhere."""
    page = Fetched(paged, "/page/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for name in page_files():
        file = Fetched(paged, f"/page/{name}")
        assert (file.status, file.body) == (200, (STATIC / name).read_bytes())
        assert {title: file.headers[title.lower()] for title in HEADERS} == dict(HEADERS)
    policy = dict(one.split(" ", 1) for one in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert "unsafe" not in page.headers["content-security-policy"]


def test_the_path_without_its_slash_leads_to_it(paged: ApiProcess) -> None:
    """By a location that holds behind a proxy with a path of its own."""
    answer = Fetched(paged, "/page")
    assert (answer.status, answer.headers["location"]) == (308, "page/")
    assert Fetched(paged, "/page/nothing.js").status in (401, 404)
    assert Fetched(paged, "/page/..%2f__init__.py").status in (401, 404)


def test_a_file_that_a_browser_has_is_not_sent_again(paged: ApiProcess) -> None:
    """And HEAD has no body."""
    first = Fetched(paged, "/page/main.js")
    again = Fetched(paged, "/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert Fetched(paged, "/page/main.js", headers={"If-None-Match": '"other"'}).status == 200
    head = Fetched(paged, "/page/main.js", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert Fetched(paged, "/page/main.js", "POST").status == 405


def test_what_is_asked_needs_an_administrator(paged: ApiProcess) -> None:
    """As the API does: nobody without a token, and none who is of one project."""
    for path in ("/v2.0/networks", f"{HOST}/status", f"{HOST}/flows/br-int"):
        assert paged.request("GET", path).status == 401
    for token in (ANN, RITA):
        client = paged.with_token(token)
        assert client.request("GET", f"{HOST}/status").status == 403
        assert client.request("GET", f"{HOST}/flows/br-int").status == 403
        assert client.request("POST", f"{HOST}/trace", {"trace": {"from": "tap0"}}).status == 403
    assert paged.with_token(BOSS).request("GET", "/v2.0/networks").status == 200


def test_a_machine_without_a_controller(paged: ApiProcess) -> None:
    """Says so, of each question; with which to come again."""
    boss = paged.with_token(BOSS)
    for answer in (
        boss.request("GET", f"{HOST}/status"),
        boss.request("GET", f"{HOST}/flows/br-int"),
        boss.request("POST", f"{HOST}/trace", {"trace": {"from": "tap0", "to": "10.0.0.2"}}),
    ):
        assert answer.status == 503, answer.json
        assert answer.message.startswith("no controller is running on this host")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"trace": []},
        {"trace": {"from": 3}},
        {"trace": {"from": "x" * 1001}},
        {"trace": {"from": "tap0", "via": "sh -c"}},
        {"trace": {"from": "tap0", "size": "1"}},
        {"trace": {"from": "tap0", "size": 19}},
        {"trace": {"from": "tap0", "size": True}},
        {"trace": {"from": "tap0"}, "more": 1},
    ],
)
def test_a_trace_that_makes_no_sense(paged: ApiProcess, body: Any) -> None:
    """Is refused with one message; a command for other hosts is nothing that HTTP may give."""
    answer = paged.with_token(BOSS).request("POST", f"{HOST}/trace", body)
    assert (answer.status, bool(answer.message)) == (400, True)


def test_the_document_has_what_the_page_asks(paged: ApiProcess) -> None:
    """And still is one of what is served."""
    paths = paged.request("GET", "/openapi.json").json["paths"]
    assert {path for path in paths if path.startswith(HOST)} == {
        f"{HOST}/status",
        f"{HOST}/flows/{{bridge}}",
        f"{HOST}/trace",
    }


def test_files_have_nothing_inline_and_nothing_from_elsewhere() -> None:
    """No script or style within the document, no text that becomes one, no address but their own."""
    files = {path.name: path.read_text() for path in STATIC.iterdir()}
    assert len(files) == len(page_files()) == len(page_paths()) - 1
    document = files["index.html"]
    assert re.findall(r"<script(?![^>]* src=)", document) == []
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", document)
    for name, text in files.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) <= {"http://www.w3.org/2000/svg"}, name
    scripts = set(re.findall(r'from "\./([a-z]+\.js)"', "".join(files.values()))) | {"main.js"}
    assert scripts == {name for name in files if name.endswith(".js")}


class SlowHost:
    """A host whose controller answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()

    def status(self) -> dict[str, Any]:
        self.asked.release()
        assert self.go_on.wait(60)
        return {"host": "h1"}

    def flows(self, bridge: str, text: str, most: int) -> dict[str, Any]:
        raise host_routes.NothingSuchError(f"{bridge} is no bridge {text} {most}")

    def trace(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        raise host_routes.WrongQuestionError(str(sorted(asked)))


@pytest.fixture(scope="module")
def nowhere() -> Iterator[tuple[ResourceDatabase, EventStream]]:
    """A topology that does not answer, and what is told of it."""
    database = ResourceDatabase("unix:/nowhere", AllocationPolicy(NetworkType.GRE))
    database.start()
    ask = partial(call, "/nowhere")
    yield database, EventStream(database, Workers(), ask=ask, host="h1", down_time=75.0, most=1)
    database.stop()


def _client(nowhere: tuple[ResourceDatabase, EventStream], host: host_routes.LocalHost) -> falcon.testing.TestClient:
    made = application.make_application(
        *nowhere,
        75.0,
        Exposition(),
        lambda _: ADMIN,
        local=False,
        by_token=False,
        limits=HttpLimits(),
        beside=host_routes.routes(host),
    )
    return falcon.testing.TestClient(made)


def test_few_questions_are_asked_at_once(nowhere: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask: a further one is told to come again, and the controller has not heard of it."""
    monkeypatch.setattr(host_routes, "_WAIT", 0.05)
    host = SlowHost()
    client = _client(nowhere, host)
    asking = [threading.Thread(target=client.simulate_get, args=(f"{HOST}/status",)) for _ in range(2)]
    for one in asking:
        one.start()
        assert host.asked.acquire(timeout=60)
    assert client.simulate_get(f"{HOST}/status").status_code == 503
    assert not host.asked.acquire(blocking=False)
    host.go_on.set()
    for one in asking:
        one.join()
    assert client.simulate_get(f"{HOST}/status").json == {"host": "h1"}


def test_what_a_host_answers_is_told_apart(nowhere: Any) -> None:
    """No such bridge, and a question that makes no sense; empty texts are none, and what is long is cut."""
    client = _client(nowhere, SlowHost())
    flows = client.simulate_get(f"{HOST}/flows/br-x", params={"match": "y" * 2000})
    assert flows.status_code == 404
    assert flows.json["NeutronError"]["message"] == f"br-x is no bridge {'y' * 1000} 2000"
    trace = client.simulate_post(f"{HOST}/trace", json={"trace": {"from": "a", "to": "", "size": None}})
    assert (trace.status_code, trace.json["NeutronError"]["message"]) == (400, "['from']")


def test_files_are_installed_with_the_package() -> None:
    """What the wheel has is what the checkout has."""
    project = Path(application.__file__).parents[2] / "pyproject.toml"
    (pattern,) = re.findall(r'^"controller\.network_api\.page" = \["([^"]+)"\]$', project.read_text(), re.M)
    packed = set(STATIC.parent.glob(pattern))
    assert packed == set(STATIC.iterdir())
