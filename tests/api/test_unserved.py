"""Options of the openstack client for what is not served: each fails with a message that names it, and makes nothing.

Those of python-openstackclient's ``network``, ``subnet`` and ``port`` commands.
"""

from __future__ import annotations

from tests.support.http.api_process import ApiProcess
from tests.support.http.openstack_shell import OpenstackShell

UNSERVED = {
    "network create --default x": "Unrecognized attribute(s) 'is_default'",
    "network create --qinq-vlan x": "Unrecognized attribute(s) 'vlan_qinq'",
    "network create --transparent-vlan x": "Unrecognized attribute(s) 'vlan_transparent'",
    "network create --availability-zone-hint z x": "Unrecognized attribute(s) 'availability_zone_hints'",
    "network create --dns-domain a. x": "No Extension found for dns-integration",
    "network create --qos-policy q x": "there is no /v2.0/qos/policies here",
    "network set --provider-segment 78 osu": "does not support updating the following provider network attributes",
    "subnet create --network osu --subnet-range 10.9.0.0/24 --dns-publish-fixed-ip x": "'dns_publish_fixed_ip'",
    "subnet create --network osu --subnet-range 10.9.0.0/24 --service-type t x": "'service_types'",
    "subnet create --network osu --subnet-range 10.9.0.0/24 --network-segment s x": "there is no /v2.0/segments here",
    "subnet create --network osu --subnet-pool p x": "there is no /v2.0/subnetpools here",
    "subnet create --network osu --use-default-subnet-pool x": "'use_default_subnetpool'",
    "subnet create --network osu --use-prefix-delegation --ip-version 6 x": "'subnetpool_id' not allowed",
    "port create --network osu --qos-policy q x": "there is no /v2.0/qos/policies here",
    "port create --network osu --security-group g x": "No SecurityGroup found for g",
    "port create --network osu --dns-name q x": "No Extension found for dns-integration",
    "port create --network osu --extra-dhcp-option name=a,value=b x": "No Extension found for extra_dhcp_opt",
    "port create --network osu --numa-policy-required x": "Unrecognized attribute(s) 'numa_affinity_policy'",
    "port create --network osu --enable-uplink-status-propagation x": "'propagate_uplink_status'",
    "port create --network osu --trusted x": "Unrecognized attribute(s) 'trusted'",
    "port create --network osu --device-profile d x": "Unrecognized attribute(s) 'device_profile'",
    "port create --network osu --hardware-offload-type switchdev x": "'hardware_offload_type'",
    "port create --network osu --vnic-type direct x": "Invalid input for binding:vnic_type",
    "port list --router r": "there is no /v2.0/routers here",
}


def test_what_is_not_served_is_said(api: ApiProcess) -> None:
    """Nobody is left with a port that lacks what was asked for."""
    network = api.create("network", name="osu")["id"]
    with OpenstackShell(api.url) as client:
        outcomes = dict(zip(UNSERVED, client.each(*UNSERVED), strict=True))
    wrong = {one: each for one, each in outcomes.items() if each.status != 1 or UNSERVED[one] not in each.errors}
    assert not wrong
    assert [api.get(f"/{kind}?name=x")[kind] for kind in ("networks", "subnets", "ports")] == [[], [], []]
    api.delete("network", network)
