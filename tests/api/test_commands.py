"""Each verb of ``openstack network``, ``subnet``, ``port`` and ``extension``, with each option for what is served."""

from __future__ import annotations

import shlex
from typing import Any

from tests.support.http.api_process import ApiProcess
from tests.support.http.openstack import Openstack


def answers(api: ApiProcess, *commands: str) -> list[Any]:
    """What those commands that show or list something answer; nothing may be said on stderr."""
    shown = [f"{command} -f json" if shows(command) else command for command in commands]
    found, errors = Openstack(api.url).script(*shown)
    assert len(found) == sum(map(shows, commands)), errors
    assert errors == ""
    return found


def shows(command: str) -> bool:
    return shlex.split(command)[1] in ("create", "show", "list")


def test_networks(api: ApiProcess) -> None:
    created, changed, bare, tagged, cleared, listed, *lists = answers(
        api,
        "network create n1 --share --disable --description one --mtu 1400 --disable-port-security "
        "--external --provider-network-type vlan --provider-physical-network physnet1 --provider-segment 12 "
        "--tag red --tag blue",
        "network set n1 --no-share --enable --description two --mtu 1300 --disable-port-security --internal "
        "--no-tag --tag green --name n2",
        "network show n2",
        "network create n3 --no-share --enable --internal --no-tag",
        "network set n3 --tag a --tag b --tag c",
        "network unset n3 --tag b",
        "network show n3",
        "network unset n3 --all-tag",
        "network show n3",
        "network list --long --name n2",
        "network list --provider-network-type vlan --provider-physical-network physnet1 --provider-segment 12",
        "network list --name n2 --enable --no-share --internal --status ACTIVE --tags green",
        "network list --any-tags red,green --not-tags red --not-any-tags blue --max-items 1",
        "network list --name n2 --share",
        "network list --name n2 --disable",
        "network list --name n2 --external",
        "network delete n2 n3",
        "network list --name n2",
    )
    names = ("shared", "admin_state_up", "description", "mtu", "port_security_enabled", "router:external")
    assert [created[name] for name in names] == [True, False, "one", 1400, False, True]
    provider = [created[f"provider:{name}"] for name in ("network_type", "physical_network", "segmentation_id")]
    assert provider == ["vlan", "physnet1", 12]
    assert set(created["tags"]) == {"red", "blue"}
    assert [changed[name] for name in names] == [False, True, "two", 1300, False, False]
    assert (changed["id"], changed["name"], changed["tags"]) == (created["id"], "n2", ["green"])
    assert [bare[name] for name in names] == [False, True, "", 1454, False, False]
    assert (tagged["tags"], cleared["tags"]) == (["a", "c"], [])
    assert [(one["ID"], one["Network Type"], one["Tags"]) for one in listed] == [(created["id"], "vlan", ["green"])]
    ids = [[one["ID"] for one in found] for found in lists]
    assert ids == [[created["id"]]] * 3 + [[]] * 4


def test_subnets(api: ApiProcess) -> None:
    network, created, changed, unset, six, cleared, listed, *lists = answers(
        api,
        "network create of-subnets",
        "subnet create s1 --network of-subnets --subnet-range 10.0.0.0/24 --no-dhcp --gateway 10.0.0.254 "
        "--ip-version 4 --description one --allocation-pool start=10.0.0.10,end=10.0.0.19 "
        "--allocation-pool start=10.0.0.30,end=10.0.0.39 --dns-nameserver 192.0.2.1 --dns-nameserver 192.0.2.2 "
        "--host-route destination=198.51.100.0/24,gateway=10.0.0.9 --tag red",
        "subnet set s1 --dhcp --gateway none --description two --no-allocation-pool "
        "--allocation-pool start=10.0.0.50,end=10.0.0.59 --dns-nameserver 192.0.2.3 --no-host-route "
        "--host-route destination=203.0.113.0/24,gateway=10.0.0.8 --tag blue --name s2",
        "subnet show s2",
        "subnet unset s2 --dns-nameserver 192.0.2.1 --host-route destination=203.0.113.0/24,gateway=10.0.0.8 --tag red",
        "subnet set s2 --gateway 10.0.0.7",
        "subnet unset s2 --gateway",
        "subnet show s2",
        "subnet create s6 --network of-subnets --subnet-range 2001:db8::/64 --ip-version 6 "
        "--ipv6-ra-mode slaac --ipv6-address-mode slaac --gateway auto --dhcp --no-tag",
        "subnet set s2 --no-dns-nameservers --no-tag --no-dhcp",
        "subnet unset s2 --all-tag",
        "subnet show s2",
        "subnet list --long --network of-subnets --ip-version 4",
        "subnet list --no-dhcp --name s2 --subnet-range 10.0.0.0/24",
        "subnet list --network of-subnets --gateway 2001:db8::1",
        "subnet list --network of-subnets --dhcp --max-items 5",
        "subnet delete s2 s6",
        "subnet list --network of-subnets",
        "network delete of-subnets",
    )
    names = ("network_id", "cidr", "enable_dhcp", "gateway_ip", "ip_version", "description")
    assert [created[name] for name in names] == [
        network["id"], "10.0.0.0/24", False, "10.0.0.254", 4, "one",
    ]  # fmt: skip
    pools = [{"start": "10.0.0.10", "end": "10.0.0.19"}, {"start": "10.0.0.30", "end": "10.0.0.39"}]
    assert created["allocation_pools"] == pools
    assert created["dns_nameservers"] == ["192.0.2.1", "192.0.2.2"]
    assert created["host_routes"] == [{"destination": "198.51.100.0/24", "nexthop": "10.0.0.9"}]
    assert (changed["name"], changed["enable_dhcp"], changed["gateway_ip"]) == ("s2", True, None)
    assert changed["allocation_pools"] == [{"start": "10.0.0.50", "end": "10.0.0.59"}]
    assert set(changed["dns_nameservers"]) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert changed["host_routes"] == [{"destination": "203.0.113.0/24", "nexthop": "10.0.0.8"}]
    assert set(changed["tags"]) == {"red", "blue"}
    assert (set(unset["dns_nameservers"]), unset["host_routes"], unset["tags"], unset["gateway_ip"]) == (
        {"192.0.2.2", "192.0.2.3"}, [], ["blue"], None,
    )  # fmt: skip
    assert (six["gateway_ip"], six["ipv6_ra_mode"], six["ipv6_address_mode"]) == ("2001:db8::1", "slaac", "slaac")
    assert (cleared["dns_nameservers"], cleared["tags"], cleared["enable_dhcp"]) == ([], [], False)
    assert [(one["ID"], one["DHCP"]) for one in listed] == [(created["id"], False)]
    assert [[one["ID"] for one in found] for found in lists] == [[created["id"]], [six["id"]], [six["id"]], []]


def test_ports(api: ApiProcess) -> None:
    network, subnet, created, changed, unset, bare, cleared, listed, *lists = answers(
        api,
        "network create of-ports",
        "subnet create of-ports4 --network of-ports --subnet-range 10.0.0.0/24",
        "port create p1 --network of-ports --description one --device vm1 --mac-address fa:16:3e:00:00:77 "
        "--device-owner compute:a --vnic-type normal --host h1 --fixed-ip subnet=of-ports4,ip-address=10.0.0.7 "
        "--fixed-ip subnet=of-ports4,ip-address=10.0.0.8 --binding-profile a=1 --disable "
        "--disable-port-security --allowed-address ip-address=10.0.0.9,mac-address=fa:16:3e:00:00:78 --tag red",
        "port set p1 --description two --device vm2 --mac-address fa:16:3e:00:00:79 --device-owner compute:b "
        "--host h2 --no-fixed-ip --fixed-ip subnet=of-ports4,ip-address=10.0.0.17 --binding-profile b=2 --enable "
        "--no-allowed-address --allowed-address ip-address=10.0.0.19 --tag blue --name p2",
        "port show p2",
        "port set p2 --fixed-ip subnet=of-ports4,ip-address=10.0.0.18",
        "port unset p2 --fixed-ip subnet=of-ports4,ip-address=10.0.0.17 --binding-profile a "
        "--allowed-address ip-address=10.0.0.19,mac-address=fa:16:3e:00:00:79 --tag red",
        "port show p2",
        "port create p3 --network of-ports --no-fixed-ip --enable --no-tag",
        "port unset p2 --host --device --device-owner --all-tag",
        "port set p2 --no-binding-profile --no-fixed-ip --disable-port-security --disable",
        "port show p2",
        "port list --long --network of-ports --name p2",
        "port list --mac-address fa:16:3e:00:00:79",
        "port create p4 --network of-ports --device vm4 --device-owner compute:c --host h4 --tag t",
        "port list --device-id vm4 --device-owner compute:c --host h4 --status DOWN --tags t",
        "port list --network of-ports --fixed-ip subnet=of-ports4 --any-tags t,u --not-tags x --not-any-tags y",
        "port list --fixed-ip ip-substring=10.0.0. --network of-ports --max-items 3",
        "port delete p2 p3 p4",
        "port list --network of-ports",
        "network delete of-ports",
    )
    [first, fourth, *filtered, partly, gone] = lists
    names = ("network_id", "description", "device_id", "mac_address", "device_owner", "binding_host_id")
    assert [created[name] for name in names] == [
        network["id"], "one", "vm1", "fa:16:3e:00:00:77", "compute:a", "h1",
    ]  # fmt: skip
    assert {ip["ip_address"] for ip in created["fixed_ips"]} == {"10.0.0.7", "10.0.0.8"}
    assert {ip["subnet_id"] for ip in created["fixed_ips"]} == {subnet["id"]}
    assert (created["binding_profile"], created["admin_state_up"]) == ({"a": "1"}, False)
    pair = {"ip_address": "10.0.0.9", "mac_address": "fa:16:3e:00:00:78"}
    assert (created["port_security_enabled"], created["allowed_address_pairs"]) == (False, [pair])
    assert [changed[name] for name in names] == [
        network["id"], "two", "vm2", "fa:16:3e:00:00:79", "compute:b", "h2",
    ]  # fmt: skip
    assert [ip["ip_address"] for ip in changed["fixed_ips"]] == ["10.0.0.17"]
    assert (changed["binding_profile"], changed["admin_state_up"]) == ({"a": "1", "b": "2"}, True)
    assert [one["ip_address"] for one in changed["allowed_address_pairs"]] == ["10.0.0.19"]
    assert (changed["name"], changed["port_security_enabled"], set(changed["tags"])) == ("p2", False, {"red", "blue"})
    assert [ip["ip_address"] for ip in unset["fixed_ips"]] == ["10.0.0.18"]
    assert (unset["binding_profile"], unset["allowed_address_pairs"], unset["tags"]) == ({"b": "2"}, [], ["blue"])
    assert (bare["fixed_ips"], bare["binding_host_id"], bare["binding_vif_type"]) == ([], "", "unbound")
    names = ("binding_host_id", "device_id", "device_owner", "tags", "binding_profile", "fixed_ips", "admin_state_up")
    assert [cleared[name] for name in names] == ["", "", "", [], {}, [], False]
    assert [(one["ID"], one["MAC Address"]) for one in listed] == [(created["id"], "fa:16:3e:00:00:79")]
    assert [one["ID"] for one in first] == [created["id"]]
    assert [[one["ID"] for one in found] for found in (*filtered, partly, gone)] == [[fourth["id"]]] * 3 + [[]]


def test_extensions(api: ApiProcess) -> None:
    listed, long, shown = answers(
        api,
        "extension list --network",
        "extension list --network --long",
        "extension show agent",
    )
    aliases = [one["Alias"] for one in listed]
    assert {"agent", "binding", "provider", "quotas", "standard-attr-tag"} <= set(aliases)
    assert [one["Alias"] for one in long] == aliases
    assert (shown["alias"], shown["name"]) == ("agent", "agent")
