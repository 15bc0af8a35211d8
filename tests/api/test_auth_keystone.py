"""``auth_strategy = keystone``: the real keystonemiddleware, in the server, against a peer that validates tokens."""

from __future__ import annotations

import re
import ssl
import sys
import warnings
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import openstack
import pytest

from controller.network_api.identity.identity import identify_by
from controller.network_api.identity.keystone import BOUNDS, Keystone, KeystoneUnavailable
from tests.support.certificates import OLDER, Authority, Lack
from tests.support.host.tunbridge import ROOT
from tests.support.http.api_process import ApiProcess
from tests.support.http.keystone import SERVICE_TOKEN, KeystonePeer, Token
from tests.topology.ovsdb import OvsdbServer
from topology.errors import ConfigError

ANN, BOSS, OLD, NOVA, NEW, STRANGER = (
    f"keystone-token-{name}" for name in ("ann", "boss", "old", "nova", "new", "stranger")
)
TOKENS = {
    ANN: Token("ann", "demo", ("Member",)),
    BOSS: Token("boss", "hq", ("admin",)),
    OLD: Token("ann", "demo", ("member",), hours=-1),
    NOVA: Token("nova", "service", ("service",)),
    NEW: Token("new", None, ()),
}


SOON = 5  # seconds; much for a Keystone on this machine that answers

WEBOB = pytest.mark.filterwarnings("ignore:'cgi' is deprecated")
"""Of what keystonemiddleware is made of, where it is not in a process of its own."""


@pytest.fixture(scope="module")
def keystone() -> Iterator[KeystonePeer]:
    with KeystonePeer(TOKENS, ("neutron", "secret"), {("ann", "password of ann"): ANN}) as peer:
        yield peer


def shown_in_the_manual(url: str) -> dict[str, dict[str, object]]:
    """The options that docs/security.md shows, with another address and no memcached."""
    text = (ROOT / "docs" / "security.md").read_text().partition("### Keystone")[2]
    parser = ConfigParser(interpolation=None)
    parser.read_string(text.partition("```ini\n")[2].partition("```")[0])
    options: dict[str, dict[str, object]] = {group: dict(parser[group]) for group in parser.sections()}
    del options["keystone_authtoken"]["memcached_servers"]
    return {**options, "keystone_authtoken": {**options["keystone_authtoken"], "auth_url": url}}


@pytest.fixture(scope="module")
def api(database: OvsdbServer, keystone: KeystonePeer) -> Iterator[ApiProcess]:
    options = shown_in_the_manual(keystone.url) | {"DEFAULT": {"debug": "true"}}
    options["keystone_authtoken"] |= {"http_connect_timeout": SOON, "http_request_max_retries": 0}
    with ApiProcess(database.connection, options=options) as process:
        process.may_trace = True  # keystonemiddleware does, when it is debugged
        yield process
        log = process.log_text()
        for token in (*TOKENS, STRANGER, SERVICE_TOKEN):
            assert token not in log


def test_a_token_is_asked_for_once_and_tells_project_and_roles(api: ApiProcess, keystone: KeystonePeer) -> None:
    keystone.asked.clear()
    ann, boss = api.with_token(ANN), api.with_token(BOSS)
    made = ann.create("network", name="keystone")
    assert made["project_id"] == "demo"
    assert "provider:network_type" not in made
    assert boss.create("network", shared=True)["project_id"] == "hq"
    answer = ann.request("POST", "/v2.0/networks", {"network": {"shared": True}})
    assert (answer.status, answer.error) == (403, "PolicyNotAuthorized")
    assert sorted(keystone.asked) == [ANN, BOSS]
    assert ' 127.0.0.1 ann "POST /v2.0/networks HTTP/1.1" 201 ' in api.log_text()


def test_a_client_logs_in_and_finds_the_api_in_the_catalogue(api: ApiProcess, keystone: KeystonePeer) -> None:
    """As against any cloud: nothing but Keystone's address and a password is known."""
    keystone.network_url = api.url
    who = {"username": "ann", "password": "password of ann", "user_domain_id": "default", "project_id": "demo"}
    auth = {"auth_url": f"{keystone.url}/v3", **who}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth=auth)
        with connection:
            made = connection.network.create_network(name="by password")
            assert made.project_id == "demo"
            assert connection.network.get_network(made.id).name == "by password"


def test_a_service_binds_ports(api: ApiProcess) -> None:
    """As Nova does; and changes nothing else."""
    ann, nova = api.with_token(ANN), api.with_token(NOVA)
    network = ann.create("network")["id"]
    port = ann.create("port", network_id=network)["id"]
    assert nova.update("port", port, **{"binding:host_id": "h1"})["binding:vif_type"] == "ovs"
    assert "binding:host_id" not in ann.get(f"/ports/{port}")["port"]
    assert nova.request("DELETE", f"/v2.0/networks/{network}").status == 403


@pytest.mark.parametrize("token", [OLD, STRANGER, None])
def test_what_keystone_does_not_know_is_refused(api: ApiProcess, token: str | None) -> None:
    """Headers in which the middleware tells who it is are worth nothing when a client sends them."""
    headers = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "demo", "X-User-Name": "boss"}
    answer = api.request("GET", "/v2.0/networks", headers=headers | ({"X-Auth-Token": token} if token else {}))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Keystone uri="https://keystone.example:5000"'
    assert answer.json["error"]["title"] == "Unauthorized"


def test_headers_of_a_client_add_nothing_to_its_token(api: ApiProcess) -> None:
    headers = {"X-Auth-Token": NEW, "X-Roles": "admin", "X-Project-Id": "demo", "X-Role": "admin"}
    answer = api.request("POST", "/v2.0/networks", {"network": {}}, headers=headers)
    assert (answer.status, answer.error) == (403, "PolicyNotAuthorized")


def test_while_keystone_is_silent(api: ApiProcess, keystone: KeystonePeer) -> None:
    """Who is known already is served, others are told to try again, and what is open stays open."""
    api.with_token(ANN).get("/networks")
    keystone.silent = True
    try:
        answer = api.with_token(f"{STRANGER}-2").request("GET", "/v2.0/networks")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        api.with_token(ANN).get("/networks")
        assert api.request("GET", "/healthz").status == 200
    finally:
        keystone.silent = False
    assert api.with_token(f"{STRANGER}-2").request("GET", "/v2.0/networks").status == 401


@WEBOB
def test_nobody_waits_for_a_silent_keystone_unless_that_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keystone: KeystonePeer
) -> None:
    """The options that the manual shows say nothing of it."""
    monkeypatch.setitem(BOUNDS, "http_connect_timeout", 1)
    options = shown_in_the_manual(keystone.url)["keystone_authtoken"]
    (tmp_path / "tunbridge.conf").write_text(
        "[keystone_authtoken]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
    )
    middleware = Keystone([str(tmp_path / "tunbridge.conf")])
    keystone.silent = True
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v2.0", "HTTP_X_AUTH_TOKEN": STRANGER, "wsgi.url_scheme": "http"}
    try:
        with pytest.raises(KeystoneUnavailable):
            middleware.find(environ)
    finally:
        keystone.silent = False
    assert len(environ) == 4


@WEBOB
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("", "[keystone_authtoken]: auth_type is missing, such as auth_type = password"),
        ("auth_type = magic", "[keystone_authtoken]: The plugin magic could not be found"),
        (
            "auth_type = password",
            "[keystone_authtoken]: Auth plugin requires parameters which were not given: auth_url",
        ),
        ("http_connect_timeout = soon", "[keystone_authtoken]: "),
        (None, "[api] auth_strategy = keystone needs keystonemiddleware: pip install 'tunbridge[keystone]'"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str | None, problem: str
) -> None:
    """The package itself too."""
    path = tmp_path / "tunbridge.conf"
    path.write_text(f"[api]\nauth_strategy = keystone\n[keystone_authtoken]\n{options or ''}\n")
    if options is None:
        monkeypatch.setitem(sys.modules, "keystonemiddleware", None)
    with pytest.raises(ConfigError, match=f"^{re.escape(problem)}"):
        identify_by("keystone", None, [str(path)])


@pytest.mark.parametrize("lacks", [(), OLDER], ids=["all", "few"])
def test_keystone_over_https(database: OvsdbServer, tmp_path: Path, lacks: tuple[Lack, ...]) -> None:
    """With all extensions that RFC 5280 asks for, or few: only Python 3.13 minds, and then the log names the remedy."""
    identity = Authority(tmp_path, lacks=lacks).certify("keystone")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(identity.certificate, identity.key)
    with KeystonePeer(TOKENS, ("neutron", "secret"), tls=tls) as keystone:
        options = shown_in_the_manual(keystone.url)
        options["keystone_authtoken"] |= {"http_request_max_retries": 0, "cafile": identity.ca_cert}
        with ApiProcess(database.connection, options=options) as api:
            answer = api.with_token(ANN).request("GET", "/v2.0/networks")
            if lacks and sys.version_info >= (3, 13):
                assert answer.status == 503
                [line] = [line for line in api.log_text().splitlines() if "certificate verify failed" in line]
                assert line.endswith("; certify it anew with authorityKeyIdentifier=keyid")
            else:
                assert answer.status == 200
                assert "certificate" not in api.log_text()
