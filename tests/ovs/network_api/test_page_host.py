"""What the page asks of the controller beside the API: state, flows and traces, as the commands print them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

HOST = "/tunbridge/host"
VM, DHCP = reference.VM, reference.DHCP


@pytest.fixture
def controller(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    options = {"api": {"enabled": "true", "listen_port": free_tcp_port(), "page": "true"}}
    made = tunbridge(options=options)
    made.apply(reference.DOCUMENT)
    ovs.plug_many([VM, DHCP])
    for device in (VM, DHCP):
        made.wait_device(device.name, status="ACTIVE")
    made.wait_in_sync()
    made.client = Client(int(str(options["api"]["listen_port"])))  # type: ignore[attr-defined]
    return made


def without_counters(flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in one.items() if name not in ("packets", "bytes", "seconds")} for one in flows
    ]


def test_the_page_asks_what_the_commands_ask(ovs: OvsHost, controller: Tunbridge) -> None:
    """The state; flows of a bridge with what they are for, all or those with a text; a trace; and what is not there."""
    client: Client = controller.client  # type: ignore[attr-defined]
    state = client.get(f"{HOST}/status")
    printed = json.loads(controller.command("status", "--json"))
    assert (state["host"], state["ports"], state["problems"]) == (
        printed["host"],
        printed["ports"],
        printed["problems"],
    )

    for bridge in ("br-int", "br-tun"):
        flows = client.get(f"{HOST}/flows/{bridge}")
        told = json.loads(controller.command("flows", bridge, "--json"))
        assert without_counters(flows["flows"]) == without_counters(told["flows"])
        assert flows["number"] == told["number"] == len(flows["flows"]) == len(controller.flows(bridge))
        assert all(one["bridge"] == bridge and one["installed"] and one["meaning"] for one in flows["flows"])
    some = client.get(f"{HOST}/flows/br-tun?match=dl_dst%3D{VM.mac}")["flows"]
    assert some and all(f"dl_dst={VM.mac}" in one["flow"] for one in some)
    assert client.get(f"{HOST}/flows/br-nothing", 404)["NeutronError"]["message"].startswith("br-nothing is no bridge")

    answer = client.request("POST", f"/v2.0{HOST}/trace", {"trace": {"from": VM.name, "to": DHCP.mac}})
    assert (answer.status, answer.json["delivered"], answer.json["from"]["device"]) == (200, True, VM.name), answer.json
    assert answer.json["sentence"] == json.loads(controller.command("trace", VM.name, DHCP.mac, "--json"))["sentence"]
    nobody = client.request("POST", f"/v2.0{HOST}/trace", {"trace": {"from": "nobody", "to": VM.mac}})
    assert (nobody.status, "no port is called 'nobody'" in nobody.message) == (404, True)


def test_flows_of_others_and_flows_that_are_missing(ovs: OvsHost, controller: Tunbridge) -> None:
    """A flow of somebody else is told as such. Without a connection it is said that counters are not known."""
    ovs.ofctl("add-flow", "br-tun", "table=99,priority=7,dl_dst=02:00:00:00:00:09,actions=drop")

    def others() -> list[dict[str, Any]]:
        told = json.loads(controller.command("flows", "br-tun", "--json", "--installed"))["flows"]
        return [one for one in told if not one["desired"]]

    found = others()
    assert all(one["meaning"] is None and one["installed"] for one in found)
    wanted = json.loads(controller.command("flows", "br-tun", "--json", "--desired"))
    assert all(one["desired"] for one in wanted["flows"]) and wanted["number"] == len(wanted["flows"])
    wait_until(lambda: not others(), 60, "the drift is repaired")
    with pytest.raises(AssertionError, match="do not go together"):
        controller.command("flows", "br-tun", "--json", "--diff")
