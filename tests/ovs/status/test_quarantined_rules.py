"""A rule that the switch refuses is denied and named, and stops nothing else: with a real, full table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.config.config import load
from controller.status.explanation import explain
from tests.support import reference
from tests.support.host.guest_frames import received, send, tcp_frame
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
WEB, DB = "5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d401", "5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d402"
RULES_TABLE = 56
ASKER, SERVER, STORE = (
    Device(f"tap{number}", f"5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d41{number}", f"fa:16:3e:00:04:1{number}")
    for number in range(3)
)
DEVICES = (ASKER, SERVER, STORE)
ADDRESSES = {device.name: f"10.1.1.1{number}" for number, device in enumerate(DEVICES)}
OUT = {"direction": "egress", "ethertype": "IPv4", "protocol": "udp", "port_range_min": 53, "port_range_max": 53}


def tcp(port: int) -> dict[str, Any]:
    return {"direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port}


def document(web: list[int], *more: dict[str, Any]) -> dict[str, Any]:
    """One network: a port without port security, one of each group.

    :param web: TCP ports that rules of the group allow
    :param more: rules of the other group
    """
    groups: tuple[list[str], ...] = ([], ["web"], ["db"])
    ports = [
        {
            "id": device.port_id,
            "mac_address": device.mac,
            "fixed_ips": [{"ip_address": ADDRESSES[device.name]}],
            "security_groups": names,
            "port_security_enabled": bool(names),
        }
        for device, names in zip(DEVICES, groups, strict=True)
    ]
    network = {
        "id": reference.NETWORK_ID,
        "name": "guarded",
        "provider:network_type": "gre",
        "provider:segmentation_id": 2,
        "subnets": [{"cidr": "10.1.1.0/24"}],
        "ports": ports,
    }
    return {
        "networks": [network],
        "security_groups": [
            {"id": WEB, "name": "web", "rules": [tcp(port) for port in web]},
            {"id": DB, "name": "db", "rules": [tcp(5432), *more]},
        ],
    }


def limit(ovs: OvsHost, flows: int) -> None:
    """Let the table of rules of br-int have so many flows."""
    ovs.vsctl(
        *("--", "--id=@table", "create", "Flow_Table", f"flow_limit={flows}", "overflow_policy=refuse"),
        *("--", "set", "bridge", "br-int", f"flow_tables:{RULES_TABLE}=@table"),
    )


class Scene:
    """A host with these ports, and what reaches them."""

    def __init__(self, ovs: OvsHost, controller: Tunbridge) -> None:
        self.ovs, self.controller = ovs, controller
        self._ofports = {device.name: ovs.ofport(device.name) or 0 for device in (SERVER, STORE)}

    def reaches(self, device: Device, port: int, allowed: int) -> bool:
        """Whether a SYN of the asker to a TCP port gets there.

        :param allowed: a port of the device that it may ask: what comes after that has been decided before it
        """
        to = (str(ASKER.mac), str(device.mac)), (ADDRESSES[ASKER.name], ADDRESSES[device.name])
        number = self._ofports[device.name]
        before = received(self.ovs)[number]
        send(self.ovs, ASKER.name, tcp_frame(*to, port))
        send(self.ovs, ASKER.name, tcp_frame(*to, allowed))
        wait_until(lambda: received(self.ovs)[number] > before, 60, f"port {allowed} is reached")
        return received(self.ovs)[number] - before == 2

    def rules(self) -> int:
        return sum(line.startswith(f"table={RULES_TABLE},") for line in self.ovs.dump("br-int"))


def test_a_rule_that_the_switch_refuses(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    port = free_tcp_port()
    controller = tunbridge(options={"metrics": {"listen_port": port}})
    controller.apply(document([22]))
    ovs.plug_many(DEVICES)
    for device in DEVICES:
        controller.wait_device(device.name, status="ACTIVE", timeout=60)
    controller.wait_in_sync(60)
    scene = Scene(ovs, controller)
    assert scene.reaches(SERVER, 22, 22)
    security = controller.device(SERVER.name)["security"]
    assert security == {"groups": [{"id": WEB, "name": "web", "rules": 1}], "rules": 1, "quarantined": []}
    assert controller.device(ASKER.name)["security"] is None
    assert "web (1 rule)" in controller.command("status")

    flows = scene.rules()
    limit(ovs, flows)
    controller.apply(document([22, 80]))
    told = wait_until(lambda: controller.quick_status().get("quarantined_rules", []), 60, "a rule is quarantined")
    (rule,) = told
    assert (rule["security_group"], rule["security_group_name"]) == (WEB, "web")
    assert (rule["text"], rule["reason"], rule["refused"]) == ("ingress IPv4 tcp 80 from anywhere", FULL, True)
    owner = f"rule {rule['id']} of security group {WEB} (web) (ingress IPv4 tcp 80 from anywhere)"
    for device in DEVICES:
        assert controller.device(device.name)["status"] == "ACTIVE"
    assert controller.device(SERVER.name)["security"]["quarantined"] == [rule["id"]]
    assert controller.device(STORE.name)["security"]["quarantined"] == []
    assert any(f"of {owner} (attempt " in line for line in controller.quick_status()["problems"])
    assert "web (2 rules, 1 QUARANTINED)" in controller.command("status", statuses=(3,))
    assert Scrape(port).value("tunbridge_quarantined", what="security_rules") == 1
    (event,) = {one["fields"]["owner"] for one in controller.events() if one["event"] == "flow-refused"}
    assert event == owner
    config = load([str(controller.config_file)])
    for thing in (str(SERVER.port_id), "web"):
        rules = explain(config, thing)["security_groups"][0]["rules"]
        assert {one["id"]: one["refused"] for one in rules if one["refused"]} == {rule["id"]: FULL}
        assert f"(rule {rule['id']}), REFUSED by Open vSwitch: {FULL}" in controller.command("explain", thing)
    refused = [one for one in explain(config, "web")["flows"] if one["refused"] is not None]
    assert {one["rules"][0]["id"] for one in refused} == {rule["id"]} and not any(one["installed"] for one in refused)

    # denied, and nothing else: the same port, another port, rules of that which come meanwhile
    assert not scene.reaches(SERVER, 80, 22)
    assert scene.reaches(STORE, 5432, 5432)
    controller.apply(document([22, 80], OUT))
    wait_until(
        lambda: any("table=25," in line and "tp_dst=53" in line for line in ovs.dump("br-int")), 60, "it is there"
    )
    assert {one["id"] for one in controller.quick_status()["quarantined_rules"]} == {rule["id"]}

    limit(ovs, 1000)
    controller.wait_in_sync(60)
    assert controller.quick_status()["quarantined_rules"] == []
    assert scene.reaches(SERVER, 80, 22)
    wait_until(lambda: any(one["event"] == "flow-taken" for one in controller.events()), 60, "it is told")
    assert Scrape(port).value("tunbridge_quarantined", what="security_rules") == 0
