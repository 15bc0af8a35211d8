"""A binding as a trace of OpenTelemetry: API, topology and host, at a collector."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import Client
from tests.support.http.otlp import Collector, Span
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["decided", "flows", "tag", "sending", "reported"]
Start = Callable[..., Tunbridge]


def started(tunbridge: Start, endpoint: str) -> tuple[Tunbridge, Client]:
    api = Client(free_tcp_port())
    options = {"api": {"enabled": "true", "listen_port": api.port}, "otel": {"traces_endpoint": endpoint}}
    controller = tunbridge(options=options)
    controller.wait_in_sync()
    wait_until(lambda: api.request("GET", "/healthz").status == 200, 60, "the API answers")
    return controller, api


def row_trace(controller: Tunbridge, port_id: str) -> str | None:
    found: dict[str, str] = dict(controller.topology_ports()[port_id]["attributes"] or {})
    return found.get("traceparent")


def bound(collector: Collector, port_id: str, *before: str) -> list[Span]:
    """The trace in which a port was bound, once all of the binding is there.

    :param before: names of spans of other processes, which send theirs when it suits them
    """

    def found() -> list[Span]:
        binds = [one for one in collector.spans if one.attributes.get("tunbridge.port") == port_id]
        spans = collector.of(binds[-1].trace) if binds else []
        return spans if {one.name for one in spans}.issuperset([*STAGES, *before]) else []

    return wait_until(found, 60, lambda: f"port {port_id} is bound in a trace: {collector.spans}")


def test_a_binding_is_one_trace(ovs: OvsHost, tunbridge: Start) -> None:
    """Request, transaction, binding and stages each in the one before, in the trace of the client where it has one;
    what the API shows has nothing of it."""
    with Collector() as collector:
        controller, api = started(tunbridge, collector.url)
        network = api.create("network")["id"]
        answer = api.request(
            "POST", "/v2.0/ports", {"port": {"network_id": network}},
            headers={"traceparent": f"00-{TRACE}-{CALLER}-01"},
        )  # fmt: skip
        port = answer.json["port"]
        assert TRACE in (row_trace(controller, port["id"]) or "")
        assert TRACE not in str(api.get(f"/ports/{port['id']}"))
        ovs.plug_many([Device("tap1", port["id"], port["mac_address"])])
        controller.wait_device("tap1", status="ACTIVE")
        spans = bound(collector, port["id"], "POST /v2.0/ports", "topology transaction")
        assert {one.trace for one in spans} == {TRACE}
        named = {one.name: one for one in spans}
        request, transaction, binding = (
            named[name] for name in ("POST /v2.0/ports", "topology transaction", "bind port")
        )
        assert [request.parent, transaction.parent, binding.parent] == [CALLER, request.id, transaction.id]
        assert (request.service, transaction.service, binding.service) == (
            "tunbridge-api", "tunbridge-api", "tunbridge-controller",
        )  # fmt: skip
        assert row_trace(controller, port["id"]) == f"00-{TRACE}-{transaction.id}-01"
        expected = {"port": port["id"], "network": network, "device": "tap1", "host": "host1"}
        assert binding.attributes == {f"tunbridge.{name}": value for name, value in expected.items()}
        assert request.start <= transaction.start <= transaction.end <= request.end <= binding.start
        stages = [named[name] for name in STAGES]
        assert {one.parent for one in stages} == {binding.id}
        assert all(one.start <= one.end for one in stages)
        slack = 1_000_000  # of two clocks, each read by itself
        assert all(binding.start - slack <= one.start and one.end <= binding.end + slack for one in stages)

        other = api.create("port", network_id=network)  # by a client that traces nothing, and changed by it
        api.update("port", other["id"], name="changed")
        ovs.plug_many([Device("tap2", other["id"], other["mac_address"])])
        spans = bound(collector, other["id"], "PUT /v2.0/ports/{object_id}", "topology transaction")
        named = {one.name: one for one in spans}
        request, transaction, binding = (
            named[name] for name in ("PUT /v2.0/ports/{object_id}", "topology transaction", "bind port")
        )
        assert [request.parent, transaction.parent, binding.parent] == ["", request.id, transaction.id]
        assert request.trace != TRACE

        ports = [{"name": "by a document"}]
        document = {"networks": [{"name": "by a document", "provider:network_type": "gre", "ports": ports}]}
        controller.apply(document)
        (applied,) = (row for row in controller.topology_ports().values() if row["name"] == "by a document")
        ovs.plug_many([Device("tap3", str(applied["id"]), str(applied["mac_address"]))])
        named = {one.name: one for one in bound(collector, str(applied["id"]))}
        assert named.keys() == {"bind port", *STAGES}
        assert named["bind port"].parent == ""
        assert "/healthz" not in {one.attributes.get("url.path") for one in collector.spans}


def test_a_caller_that_samples_nothing(ovs: OvsHost, tunbridge: Start) -> None:
    """Its decision holds: there is no span of it, on the host neither."""
    with Collector() as collector:
        controller, api = started(tunbridge, collector.url)
        network = api.create("network")["id"]
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        answer = api.request("POST", "/v2.0/ports", {"port": {"network_id": network}}, headers=headers)
        port = answer.json["port"]
        ovs.plug_many([Device("tap1", port["id"], port["mac_address"])])
        controller.wait_device("tap1", status="ACTIVE")
        api.create("network", name="after it")
        last = api.create("port", network_id=network)
        ovs.plug_many([Device("tap2", last["id"], last["mac_address"])])
        bound(collector, last["id"])
        assert collector.of(TRACE) == []
        assert port["id"] not in {one.attributes.get("tunbridge.port") for one in collector.spans}


def test_a_collector_that_is_away(ovs: OvsHost, tunbridge: Start) -> None:
    """Ports are bound as ever, the log says nothing of it, and the process ends when it is told to."""
    controller, api = started(tunbridge, f"http://127.0.0.1:{free_tcp_port()}/v1/traces")
    network = api.create("network")["id"]
    for number in range(3):
        port = api.create("port", network_id=network)
        ovs.plug_many([Device(f"tap{number}", port["id"], port["mac_address"])])
        controller.wait_device(f"tap{number}", status="ACTIVE")
    assert "opentelemetry" not in controller.log_text()
