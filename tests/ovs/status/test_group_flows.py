"""Flows of security groups on a real Open vSwitch: which group and which rules each is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.framework.cookie import cookie
from controller.cli.explanation_text import explanation
from controller.config.config import load
from controller.status.explanation import explain
from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge

pytestmark = pytest.mark.one_hub
GROUP = "5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d301"
PORT = "5e4c3c52-8a0e-4f0b-9c6d-2b7a51e0d302"
COOKIE = f"{cookie(7, GROUP):#x}"
DOCUMENT: dict[str, Any] = {
    "networks": [
        {
            "id": reference.NETWORK_ID,
            "name": "guarded",
            "provider:network_type": "gre",
            "provider:segmentation_id": 2,
            "port_security_enabled": True,
            "subnets": [{"cidr": "10.1.1.0/24"}],
            "ports": [
                {"id": PORT, "name": "web-1", "fixed_ips": [{"ip_address": "10.1.1.7"}], "security_groups": ["web"]}
            ],
        }
    ],
    "security_groups": [
        {
            "id": GROUP,
            "name": "web",
            "rules": [
                {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 25},
                {"direction": "egress", "ethertype": "IPv6"},
                {"direction": "ingress", "protocol": "udp", "remote_group_id": "web"},
            ],
        }
    ],
}
WORDS = {
    "ingress IPv4 tcp 22-25 from anywhere",
    "egress IPv6 any protocol to anywhere",
    f"ingress IPv4 udp from the ports of security group {GROUP} (web)",
}


def test_flows_name_their_group_and_rules(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    controller = tunbridge()
    controller.apply(DOCUMENT)
    ovs.plug("tapweb", PORT)
    controller.wait_device("tapweb", status="ACTIVE")
    controller.wait_in_sync()
    config = load([str(controller.config_file)])
    of_rules = explain(config, COOKIE)["flows"]
    assert {flow["of"]["name"] for flow in of_rules} == {"web"}
    assert {flow["of"]["id"] for flow in of_rules} == {GROUP}
    assert all(flow["installed"] for flow in of_rules)
    assert {rule["text"] for flow in of_rules for rule in flow["rules"]} == WORDS
    for name in (GROUP, "web"):
        of_group = explain(config, name)
        assert (of_group["kind"], of_group["id"], of_group["ports"]) == ("security group", GROUP, [PORT])
        assert [device["device"] for device in of_group["here"]] == ["tapweb"]
        assert len(of_group["flows"]) == len(of_rules)
    for thing in (GROUP, PORT):
        (group,) = explain(config, thing)["security_groups"]
        assert (group["id"], group["name"], {rule["text"] for rule in group["rules"]}) == (GROUP, "web", WORDS)
    of_port = explanation(explain(config, PORT), str)
    assert "port_security_enabled: true" in of_port
    assert f"security group {GROUP} (web), stateful" in of_port
    page = controller.command("explain", COOKIE)
    assert f"of security group {GROUP} (web)" in page
    for text in WORDS:
        assert text in page
