"""``tunbridge explain`` on a real Open vSwitch: all of a port, a network, a local VLAN and a flow on one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from apps import APPLICATIONS
from controller.config.config import load
from controller.status.explanation import explain
from controller.status.remedies import REMEDIES
from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from topology.errors import TunbridgeError

pytestmark = pytest.mark.one_hub
VM, DHCP = reference.VM, reference.DHCP
MEANINGS = {band.name: band.meaning for app in APPLICATIONS for band in app.bands}


@pytest.fixture
def controller(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    made = tunbridge()
    made.apply(reference.DOCUMENT)
    ovs.plug_many([VM, DHCP])
    for device in (VM, DHCP):
        made.wait_device(device.name, status="ACTIVE")
    made.wait_in_sync()
    return made


def told(controller: Tunbridge, thing: str) -> dict[str, Any]:
    """What the command prints as JSON, without the start of a process."""
    return json.loads(json.dumps(explain(load([str(controller.config_file)]), thing)))  # type: ignore[no-any-return]


def refusal(controller: Tunbridge, thing: str) -> str:
    with pytest.raises(TunbridgeError) as caught:
        told(controller, thing)
    return str(caught.value)


def test_a_port(ovs: OvsHost, controller: Tunbridge) -> None:
    """By each of its names: rows, life, flows with what they are for and real counters."""
    by_id = told(controller, VM.port_id)
    address = by_id["port"]["fixed_ips"][0]["ip_address"]
    for name in (VM.port_id.upper(), VM.name, VM.mac.upper(), address):
        other = told(controller, name)
        assert (other["kind"], other["id"], len(other["flows"])) == ("port", VM.port_id, len(by_id["flows"])), name
    state = controller.device(VM.name)
    assert by_id["here"] == [state]
    assert by_id["port"]["mac_address"] == VM.mac
    assert by_id["network"]["id"] == state["network_id"]
    assert {row["table"]: row["name"] for row in by_id["rows"]} == {"Port": VM.name, "Interface": VM.name}
    assert next(row for row in by_id["rows"] if row["table"] == "Port")["tag"] == state["vlan"]
    assert next(row for row in by_id["rows"] if row["table"] == "Interface")["external_ids"]["iface-id"] == VM.port_id
    assert [event["event"] for event in by_id["events"]] == ["port-bound", "port-active"]
    assert (by_id["problems"], by_id["silent"]) == ([], [])
    (flow,) = by_id["flows"]
    assert flow["flow"] in controller.flows("br-tun")
    assert f"dl_dst={VM.mac}" in flow["flow"]
    assert flow["meaning"] == MEANINGS[flow["band"]]
    assert (flow["bridge"], flow["of"], flow["installed"]) == ("br-tun", {"kind": "port", "id": VM.port_id}, True)
    page = controller.command("explain", VM.name)
    assert page.startswith(f"Port {VM.port_id}")
    for text in (flow["flow"], flow["meaning"], "Problems: none", "port-active: port", f"{VM.name}: port"):
        assert text in page
    assert json.loads(controller.command("explain", VM.name, "--json"))["id"] == VM.port_id


def test_counters_are_those_of_the_switch(ovs: OvsHost, controller: Tunbridge) -> None:
    """Frames of the network that come for the port are counted."""

    def packets() -> int:
        (flow,) = told(controller, VM.port_id)["flows"]
        return int(flow["packets"])

    assert packets() == 0
    frame = VM.mac.replace(":", "") + "fa163e000099" + "88b5" + "00" * 46
    actions = f"set_field:{reference.TUNNEL_ID}->tun_id,resubmit(,0)"
    for _ in range(3):
        ovs.ofctl("packet-out", "br-tun", f"in_port=LOCAL packet={frame} actions={actions}")
    wait_until(lambda: packets() == 3, 20, lambda: f"3 packets, not {packets()}")
    assert " 3 packets, " in controller.command("explain", VM.name)


def test_a_network_and_its_local_vlan(controller: Tunbridge) -> None:
    """By id, name and local VLAN: its ports here, its flows, none of its ports' own."""
    state = controller.device(VM.name)
    by_id = told(controller, state["network_id"])
    names = [str(state["vlan"])] + ([by_id["name"]] if by_id["name"] else [])
    for name in names:
        assert told(controller, name)["id"] == state["network_id"]
    assert {one["device"] for one in by_id["here"]} == {VM.name, DHCP.name}
    assert {VM.port_id, DHCP.port_id} <= set(by_id["ports"])
    assert {flow["of"]["kind"] for flow in by_id["flows"]} == {"network"}
    assert all(flow["installed"] and flow["meaning"] for flow in by_id["flows"])
    assert {event["event"] for event in by_id["events"]} >= {"port-bound", "port-active"}


def test_a_flow(ovs: OvsHost, controller: Tunbridge) -> None:
    """By its cookie, by its text, by a part of it; several, none, and one of nobody on a bridge that is away."""
    (mine,) = told(controller, VM.port_id)["flows"]
    for name in (mine["cookie"], mine["flow"], f"dl_dst={VM.mac}"):
        one = told(controller, name)
        assert (one["kind"], [flow["flow"] for flow in one["flows"]]) == ("flow", [mine["flow"]])
        assert [device["device"] for device in one["here"]] == [VM.name]
    assert "may be " in refusal(controller, "tun_id=")
    assert "no bridge of this host has" in refusal(controller, "0x7b1d")
    assert "no bridge of this host has" in refusal(controller, "dl_dst=fa:16:3e:99:99:99")


def test_what_is_not_bound(ovs: OvsHost, controller: Tunbridge) -> None:
    """A device without a port: why, and what to do."""
    nobody = "00000000-0000-4000-8000-00000000dead"
    ovs.plug("tapx", nobody)
    controller.wait_device("tapx", status="DOWN")
    for name in ("tapx", nobody):
        one = told(controller, name)
        assert (one["id"], one["port"], one["network"]) == (nobody, None, None)
        (problem,) = one["problems"]
        assert problem["problem"] == "device tapx is DOWN: the topology has no such port"
        assert problem["remedy"] == REMEDIES["the topology has no such port"]
    page = controller.command("explain", "tapx")
    assert "what to do: the port is not in the topology database" in page
    assert "device-refused: device tapx" in page


def test_what_is_missing_and_who_is_silent(ovs: OvsHost, controller: Tunbridge) -> None:
    """Nothing and several match; who does not answer is named, and the rest is told."""
    assert refusal(controller, "nothing").startswith("nothing is known of 'nothing': expected a port (its id, name, ")
    controller.topology_transact(
        {"op": "update", "table": "Port", "where": [["id", "==", VM.port_id]], "row": {"name": "twin"}},
        {"op": "update", "table": "Port", "where": [["id", "==", DHCP.port_id]], "row": {"name": "twin"}},
    )
    several = refusal(controller, "twin")
    assert f"port {VM.port_id} (twin)" in several
    assert f"port {DHCP.port_id} (twin)" in several
    assert several.endswith("give an id")
    ovs.stop_vswitchd()
    controller.wait_log("OpenFlow connection of br-tun (")
    lost = [json.loads(line) for line in controller.command("events", "--json").splitlines()]
    assert "br-tun" in {event["fields"]["bridge"] for event in lost if event["event"] == "bridge-lost"}
    one = told(controller, VM.name)
    assert "bridge br-tun is not connected: what it has is not known" in one["silent"]
    assert [flow["installed"] for flow in one["flows"]] == [None]
    controller.stop()
    assert "no controller is running" in refusal(controller, VM.name)
