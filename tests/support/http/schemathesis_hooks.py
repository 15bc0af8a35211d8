"""What schemathesis needs to know of the API to make requests that can be done; loaded by its ``SCHEMATHESIS_HOOKS``.

By chance alone no id is one that there is, and no subnet has pools within its CIDR. So most requests that keep to the
document are aimed at objects that exist, and what contradicts itself is taken out of most. Which ones follows from what
they hold: the same run makes the same requests. Those that do not keep to the document are sent as they are.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections import Counter
from typing import Any
from urllib.parse import quote, unquote

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

Case = schemathesis.Case[Any]

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PARENTS = {
    "networks": None,
    "subnets": "networks",
    "ports": "networks",
    "security-groups": None,
    "security-group-rules": "security-groups",
    "address-groups": None,
    "default-security-group-rules": None,
    "rbac-policies": None,
}
_RULE = (
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
)
_CONTRADICTING = {
    "network": ("provider:network_type", "provider:physical_network", "provider:segmentation_id"),
    "subnet": (
        "gateway_ip",
        "allocation_pools",
        "dns_nameservers",
        "host_routes",
        "ipv6_ra_mode",
        "ipv6_address_mode",
    ),
    "port": ("fixed_ips", "mac_address", "allowed_address_pairs", "port_security_enabled", "security_groups"),
    "security_group": (),
    "security_group_rule": _RULE,
    "address_group": (),
    "default_security_group_rule": _RULE,
    "rbac_policy": ("object_type", "object_id", "target_tenant"),
}
"""Attributes whose values must fit each other, or what is there."""


def _cidr(version: int) -> st.SearchStrategy[str]:
    bits, made = (32, ipaddress.IPv4Network) if version == 4 else (128, ipaddress.IPv6Network)
    return st.builds(
        lambda number, length: str(made((number, length), strict=False)),
        st.integers(0, 2**bits - 1),
        st.integers(8, bits - 2),
    )


schemathesis.openapi.format("cidr", _cidr(4) | _cidr(6))


class World:
    """Objects that requests are aimed at.

    :param url: of the API
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._known: dict[str, str] = {}
        self._parent = ""
        self._last_port = 1024
        self.calls: Counter[str] = Counter()
        """Requests of each operation that keep to the document."""

    def one(self, collection: str, *, used_up: bool = False) -> str:
        """Id of an object that there is.

        :param used_up: nobody else gets it
        """
        found = self._known.pop(collection, None)
        if found is None or self._ask("GET", f"{collection}/{found}").status_code != 200:
            found = self.made(collection)
        if not used_up:
            self._known[collection] = found
        return found

    def network(self) -> str:
        """Id of a network that nothing else is aimed at: ports can be made on it."""
        self._parent = self._parent or self.made("networks")
        return self._parent

    def made(self, collection: str) -> str:
        """Id of a new object; agents are only found."""
        name = _kind(collection)
        if collection not in _PARENTS:
            agents = self._ask("GET", collection).json()[collection]
            return str(agents[0]["id"]) if agents else "none"
        values: dict[str, Any] = {"cidr": "10.0.0.0/24", "ip_version": 4} if name == "subnet" else {}
        if name in ("default_security_group_rule", "rbac_policy"):
            values = {"direction": "ingress", **self.rule()} if name != "rbac_policy" else self.sharing()
        elif name == "security_group_rule":
            values = {"direction": "ingress", "security_group_id": self.made("security-groups")}
        elif _PARENTS[collection] == "networks":
            values["network_id"] = self.made("networks") if name == "subnet" else self.network()
        return str(self._ask("POST", collection, {name: values}).json()[name]["id"])

    def rule(self) -> dict[str, Any]:
        """What no default rule says yet."""
        self._last_port += 1
        return {"protocol": "tcp", "port_range_min": self._last_port, "port_range_max": self._last_port}

    def sharing(self) -> dict[str, str]:
        """What no RBAC policy says yet."""
        group = self.made("security-groups")
        return {
            "object_type": "security_group",
            "object_id": group,
            "target_tenant": "blue",
            "action": "access_as_shared",
        }

    def revision(self, collection: str, object_id: str) -> int:
        """Of an object that there is."""
        return int(self._ask("GET", f"{collection}/{object_id}").json()[_kind(collection)].get("revision_number", 0))

    def tag(self, path: str) -> None:
        """Have an object have a tag."""
        self._ask("PUT", path)

    def limit(self, project: str) -> None:
        """Have a project have a quota of its own."""
        self._ask("PUT", f"quotas/{project}", {"quota": {"network": -1}})

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self._session.request(method, f"{self._url}/v2.0/{path}", json=body, timeout=60)


def _kind(collection: str) -> str:
    return re.sub("ies$", "y", collection).removesuffix("s").replace("-", "_")


_worlds: dict[str, World] = {}


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Aim a request."""
    url = case.operation.base_url or ""
    world = _worlds.setdefault(url, World(url.rstrip("/")))
    parts = case.meta.components if case.meta else {}
    wrong = {place for place, part in parts.items() if part.mode.is_negative}
    world.calls[case.operation.label] += not wrong
    nobody = not wrong and world.calls[case.operation.label] % 3 == 2
    if ParameterLocation.PATH not in wrong:
        _aim_path(world, case, nobody=nobody)
    if wrong:
        return  # what is wrong with it must stay
    body = case.body if isinstance(case.body, dict) else {}
    if not nobody and zlib.crc32(repr((case.path, case.query, body)).encode("utf-8", "replace")) % 5 == 0:
        return
    _settle_query(case)
    if case.path.endswith("/remove_addresses"):  # which one has to have
        case.body = {"addresses": []}
    elif body:
        case.body = {name: _aimed(world, name, value) for name, value in body.items()}


def _aim_path(world: World, case: Case, *, nobody: bool) -> None:
    """Have it be for what there is, or for what there is not."""
    parameters = case.path_parameters or {}
    if "tag" in parameters:
        parameters["tag"] = quote(_printable(unquote(parameters["tag"]))) or "blue"
    if nobody:
        if "project_id" in parameters:
            parameters["project_id"] = "nobody" if case.method == "DELETE" else "somebody"  # who may be given limits
        return
    if "alias" in parameters:
        parameters["alias"] = "agent"
    if "project_id" in parameters and case.method == "DELETE":
        parameters["project_id"] = "blue"
        world.limit("blue")
    if "object_id" not in parameters:
        return
    collection = case.path.split("/")[2]
    if not _UUID.fullmatch(str(parameters["object_id"])):  # it is, where a link has led here
        used_up = case.method == "DELETE" and "tags" not in case.path
        parameters["object_id"] = world.one(collection, used_up=used_up)
    if "tag" in parameters and case.method != "PUT":
        parameters["tag"] = "blue"
        world.tag(f"{collection}/{parameters['object_id']}/tags/blue")
    if case.headers and (case.headers.get("If-Match") or "").startswith("revision_number"):
        case.headers["If-Match"] = f"revision_number={world.revision(collection, parameters['object_id'])}"


def _settle_query(case: Case) -> None:
    query = case.query or {}
    if len(query.get("sort_dir") or ()) != len(query.get("sort_key") or ()):
        query.pop("sort_dir", None)
    query.pop("marker", None)


def _aimed(world: World, name: str, value: Any) -> Any:
    if name == "tags":
        return [_printable(tag) or "blue" for tag in value or ()]
    if isinstance(value, list) and _kind(name) in _CONTRADICTING:
        return [_aimed(world, _kind(name), one) for one in value]
    if not isinstance(value, dict) or name not in _CONTRADICTING:
        return value
    kept = (key for key in value if key not in _CONTRADICTING[name] and key != "tenant_id")
    settled = {key: _printable(value[key]) for key in kept}
    if isinstance(settled.get("network_id"), str):
        settled["network_id"] = world.made("networks") if name == "subnet" else world.network()
    if isinstance(settled.get("security_group_id"), str):
        settled["security_group_id"] = world.made("security-groups")
    if name == "default_security_group_rule":
        settled |= world.rule()
    if name == "rbac_policy":
        settled |= world.sharing() if "action" in value else {"target_tenant": "green"}
    if isinstance(settled.get("cidr"), str) and settled.get("ip_version") in (4, 6):
        settled["ip_version"] = 6 if ":" in settled["cidr"] else 4
    return settled


def _printable(value: Any) -> Any:
    """A text without what JSON schema cannot tell from letters."""
    return "".join(filter(str.isprintable, value)) if isinstance(value, str) else value


def _is_other_method(case: Case) -> bool:
    """One that is not there, or is another operation of the same path, was tried."""
    return bool(case.method.upper() != case.operation.method.upper())


@schemathesis.check
def whole_objects(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: Case) -> None:
    """An object is shown with all its attributes unless ``fields`` were asked for.

    The document cannot say so: what an answer has to hold does not depend on the query in it.
    """
    if response.status_code != 200 or "fields" in (case.query or {}) or _is_other_method(case):
        return
    described = case.operation.definition.raw["responses"]["200"].get("content", {}).get("application/json", {})
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    for name, schema in described.get("schema", {}).get("properties", {}).items():
        reference = schema.get("items", schema).get("$ref", "")
        if reference.endswith("_part"):
            shown = response.json()[name]
            for one in shown if isinstance(shown, list) else [shown]:
                missing = sorted(schemas[reference.rpartition("/")[2]]["properties"].keys() - one.keys())
                assert not missing, f"a {name} is shown without {', '.join(missing)}"


@schemathesis.check
class Reached:
    """Each operation has done what it is for at least once, with each status that it has for that.

    And the object that it is for was not there once.
    """

    def __init__(self) -> None:
        self._expected: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] = set()

    def after_response(self, ctx: schemathesis.CheckContext, response: schemathesis.Response, case: Case) -> None:
        """Remember an answer."""
        if _is_other_method(case):
            return
        label = case.operation.label
        documented = case.operation.definition.raw["responses"]
        wanted = [status for status in documented if status.startswith("2") or (status == "404" and "{" in label)]
        self._expected |= {(label, status) for status in wanted}
        self._seen.add((label, str(response.status_code)))

    def after_run(self, ctx: schemathesis.CheckContext) -> None:
        """Say which it never was."""
        if missing := sorted(self._expected - self._seen):
            raise AssertionError(f"never answered: {missing}")
