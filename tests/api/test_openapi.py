"""The OpenAPI document is of what is served, all of it and nothing else."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import falcon
import falcon.inspect
import openapi_spec_validator
import pytest

from controller.config.http_limits import HttpLimits
from controller.network_api.application import make_application
from controller.network_api.event_stream.event_stream import EventStream
from controller.network_api.openapi import ApiRoute, Operation, register
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers
from controller.status.control_client import call
from tests.support.http.api_process import ApiProcess
from topology.database.resource_database import ResourceDatabase
from topology.model import NetworkType
from topology.rules.access.policy import ADMIN
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.rules.attributes.attributes import RESOURCES

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def document(api: ApiProcess) -> Any:
    """As it is served."""
    answer = api.request("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json


def test_valid(document: Any) -> None:
    """It keeps to the specification."""
    openapi_spec_validator.validate(document)


def test_operations_have_names_of_their_own(document: Any) -> None:
    """Clients are generated with them."""
    operations = [path[method] for path in document["paths"].values() for method in METHODS if method in path]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) > 30
    assert all(operation["summary"] for operation in operations)


def test_every_path_is_in_it(document: Any) -> None:
    """Nothing is served that was not in the table of routes."""
    database = ResourceDatabase("unix:/nowhere", AllocationPolicy(NetworkType.GRE))
    known: dict[str, Any] = {"local": True, "by_token": False, "limits": HttpLimits()}
    stream = EventStream(database, Workers(), ask=partial(call, "/nowhere"), host="h1", down_time=75.0, most=1)
    application = make_application(database, stream, 75.0, Exposition(), lambda _: ADMIN, **known)
    database.start()
    database.stop()
    assert {route.path for route in falcon.inspect.inspect_routes(application)} == set(document["paths"])


def test_other_methods_are_refused(api: ApiProcess, document: Any) -> None:
    """With those that there are, on each path; a path that is not in the document is not there."""
    for path, operations in document["paths"].items():
        documented = {method.upper() for method in METHODS if method in operations}
        for method in {*map(str.upper, METHODS), "HEAD", "TRACE"} - documented:
            answer = api.request(method, re.sub("{.*?}", "x", path))
            assert answer.status == 405, f"{method} {path}"
            assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == documented
    assert api.request("GET", "/v2.0/trunks").status == 404


@pytest.mark.parametrize("name", RESOURCES)
def test_what_is_shown_is_what_is_documented(api: ApiProcess, document: Any, name: str) -> None:
    """Each attribute of an object is in the document, and the other way round."""
    values: dict[str, Any] = {"subnet": {"cidr": "10.0.0.0/24", "ip_version": 4}}.get(name, {})
    if name in ("subnet", "port"):
        values |= {"network_id": api.create("network")["id"]}
    if name == "default_security_group_rule":
        values = {"direction": "ingress", "protocol": "tcp", "port_range_min": 9, "port_range_max": 9}
    if name == "security_group_rule":
        values = {"direction": "ingress", "security_group_id": api.create("security_group")["id"]}
    if name == "rbac_policy":
        shared = api.create("security_group")["id"]
        values = {"object_type": "security_group", "object_id": shared, "action": "access_as_shared"}
        values["target_tenant"] = "other"
    path = RESOURCES[name].path
    answer = api.request("POST", f"/v2.0/{path}", {name: values})
    assert answer.status == 201, answer.json
    made = answer.json[name]
    if name == "default_security_group_rule":  # it is given to the groups of all
        assert api.request("DELETE", f"/v2.0/{path}/{made['id']}").status == 204
    schema = document["components"]["schemas"][name]
    assert set(made) == set(schema["properties"])
    assert {"id", "project_id" if name == "rbac_policy" else "description"} < set(schema["required"]) <= set(made)
    assert schema["additionalProperties"] is False


class Handler:
    """Serves two methods."""

    def on_get(self) -> None: ...

    def on_put(self) -> None: ...


GET, PUT = Operation("show", "Show", {200: None}), Operation("change", "Change", {200: None})


@pytest.mark.parametrize("operations", [{}, {"GET": GET}, {"GET": GET, "PUT": PUT, "DELETE": GET}])
def test_a_method_cannot_be_served_undocumented(operations: dict[str, Operation]) -> None:
    """Nor documented and not served."""
    with pytest.raises(ValueError, match="/x: serves"):
        ApiRoute("/x", Handler(), operations)


@pytest.mark.parametrize("parameters", [{}, {"id": {}, "tag": {}}])
def test_a_path_has_the_parameters_that_are_documented(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^/x/\{id\}: has"):
        ApiRoute("/x/{id}", Handler(), {"GET": GET, "PUT": PUT}, parameters)


def test_routes_are_served() -> None:
    app: falcon.App[Any, Any] = falcon.App()
    register(app, [ApiRoute("/x/{id}", Handler(), {"GET": GET, "PUT": PUT}, {"id": {}})])
    assert [route.path for route in falcon.inspect.inspect_routes(app)] == ["/x/{id}"]
