"""Configuration that is wrong: one line that says file, option, value and what is expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.config import config
from topology.errors import ConfigError

PORT = "expected a port number from 1 to 65535"
NAME = "expected a name of 1 to 15 characters without white space, '/', ':' and ','"
TCP = "expected tcp:ADDRESS:PORT with an IP address (IPv6 in brackets) and a port from 1 to 65535"
FILES = "expected ssl_key_file, ssl_cert_file, ssl_ca_cert_file too"
METHODS = "expected unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT"
ABSOLUTE = "expected an absolute path, such as /var/lib/tunbridge"
PAIRS = "expected PHYSICAL_NETWORK:BRIDGE pairs, such as physnet1:br-ex, not"
MTUS = "expected PHYSICAL_NETWORK:BYTES, each physical network once"
MAC = "expected a unicast MAC address, such as fa:16:3e:00:00:00"
UNRESOLVED = "its value refers to an option that does not exist, or to itself; write $$ for a dollar sign"

BAD_VALUES = [
    ("DEFAULT", "host", "", "expected a host name of 1 to 255 characters without white space"),
    ("DEFAULT", "host", "two words", "expected a host name of 1 to 255 characters without white space"),
    ("DEFAULT", "debug", "maybe", "expected true or false"),
    ("DEFAULT", "log_file", "tunbridge.log", ABSOLUTE),
    ("DEFAULT", "state_path", "var/lib", ABSOLUTE),
    ("DEFAULT", "state_path", "", ABSOLUTE),
    ("DEFAULT", "run_path", "./run", ABSOLUTE),
    ("DEFAULT", "run_path", "/" + "r" * 93, "expected a path of at most 93 bytes, since sockets are made in it"),
    ("ovs", "ovsdb_connection", "", METHODS),
    ("ovs", "ovsdb_connection", "127.0.0.1:6640", METHODS),
    ("ovs", "ovsdb_connection", "ptcp:6640", METHODS),
    ("ovs", "ovsdb_connection", "unix:db.sock", "expected unix: and an absolute path of at most 107 bytes"),
    ("ovs", "ovsdb_connection", "tcp:127.0.0.1", TCP),
    ("ovs", "ovsdb_connection", "tcp:localhost:6640", TCP),
    ("ovs", "ovsdb_connection", "tcp:::1:6640", TCP),
    ("ovs", "ovsdb_connection", "tcp:[127.0.0.1]:6640", TCP),
    ("ovs", "ovsdb_connection", "tcp:127.0.0.1:70000", TCP),
    ("ovs", "integration_bridge", "", NAME),
    ("ovs", "integration_bridge", "br-integration-1", NAME),
    ("ovs", "tunnel_bridge", "br/tun", NAME),
    ("ovs", "tunnel_bridge", "br-int", "expected another name than that of integration_bridge"),
    ("ovs", "tun_peer_patch_port", "patch-tun", "expected another name than that of int_peer_patch_port"),
    ("ovs", "int_peer_patch_port", "br-tun", "expected another name than that of tunnel_bridge"),
    ("ovs", "local_ip", "10.0.0", "expected an IP address"),
    ("ovs", "local_ip", "10.0.0.1/24", "expected an IP address"),
    ("ovs", "local_ip", "0.0.0.0", "expected an IP address that other hosts can send to"),
    ("ovs", "local_ip", "224.0.0.1", "expected an IP address of a host, not a group of them"),
    ("ovs", "bridge_mappings", "physnet1", f"{PAIRS} 'physnet1'"),
    ("ovs", "bridge_mappings", ":br-ex", f"{PAIRS} ':br-ex'"),
    ("ovs", "bridge_mappings", "p:br-ex:1", f"bridge 'br-ex:1': {NAME}"),
    ("ovs", "bridge_mappings", "p:a,p:b", "expected each physical network once, 'p' is there twice"),
    ("ovs", "bridge_mappings", "p:br-ex,q:br-ex", "expected each bridge once, 'br-ex' is there twice"),
    ("ovs", "bridge_mappings", "p:br-int", "expected a bridge, not integration_bridge"),
    ("ovs", "datapath_type", "kernel", "expected one of system, netdev"),
    ("ovs", "of_listen_method", "udp", "expected one of tcp, ssl, unix"),
    ("ovs", "of_listen_method", "ssl", FILES),
    ("ovs", "ovsdb_connection", "ssl:127.0.0.1:6640", FILES),
    ("ovs", "ssl_key_file", "key.pem", "expected an absolute path, such as /var/lib/tunbridge"),
    ("ovs", "ssl_key_file", "/key.pem", "expected ssl_cert_file, ssl_ca_cert_file too"),
    ("ovs", "ssl_peer_name", "*.example", "expected one name as in a certificate, or * for any"),
    ("topology", "connection", "tcp:192.0.2.1:1,ssl:192.0.2.2:1", FILES),
    ("topology", "listen", "ssl:192.0.2.1:6642", FILES),
    ("topology", "cluster_address", "unix:/a.sock", "expected tcp:ADDRESS:PORT or ssl:ADDRESS:PORT"),
    ("topology", "cluster_address", "tcp:0.0.0.0:6644", "expected an IP address that other hosts can send to"),
    ("topology", "cluster_address", "tcp:192.0.2.1", TCP),
    ("topology", "cluster_address", "ssl:[2001:db8::1]:6644", FILES),
    ("ovs", "of_listen_address", "localhost", "expected an IP address"),
    ("ovs", "of_listen_port", "0", PORT),
    ("ovs", "of_listen_port", "99999", PORT),
    ("ovs", "of_listen_port", "6633tcp", PORT),
    ("ovs", "of_listen_port", "²", PORT),
    ("ovs", "of_connect_timeout", "-5", "expected a number of seconds from 0.1 to 3600"),
    ("ovs", "of_connect_timeout", "nan", "expected a number of seconds from 0.1 to 3600"),
    ("ovs", "of_request_timeout", "10s", "expected a number of seconds from 0.1 to 3600"),
    ("agent", "tunnel_types", "gre,stt", "expected a list of gre, vxlan, geneve, not 'stt'"),
    ("agent", "tunnel_types", "gre,gre", "expected each tunnel type once"),
    ("agent", "vxlan_udp_port", "-1", PORT),
    ("agent", "l2_population", "2", "expected true or false"),
    ("agent", "report_interval", "0", "expected a number of seconds from 0.1 to 86400"),
    ("agent", "agent_down_time", "59", "expected at least twice report_interval, which is 30"),
    ("agent", "audit_interval", "0.5", "expected a number of seconds from 1 to 86400, or 0 for never"),
    ("securitygroup", "enable_security_group", "maybe", "expected true or false"),
    ("securitygroup", "firewall_driver", "noopp", "expected one of openvswitch, noop"),
    ("securitygroup", "firewall_driver", "", "expected one of openvswitch, noop"),
    ("securitygroup", "permitted_ethertypes", "lldp", "expected ethertypes such as 0x88b5, comma-separated"),
    ("securitygroup", "permitted_ethertypes", "0x88b5,", "expected ethertypes such as 0x88b5, comma-separated"),
    ("securitygroup", "permitted_ethertypes", "0x10000", "expected ethertypes such as 0x88b5, comma-separated"),
    ("securitygroup", "permitted_ethertypes", "0x5ff", "expected ethertypes from 0x0600: less is a length"),
    (
        "securitygroup",
        "permitted_ethertypes",
        "0x88b5, 0x86DD",
        "expected others than IPv4, IPv6, ARP, RARP and VLAN tags, of which 0x86dd is one",
    ),
    ("topology", "connection", "unix:/a.sock,nonsense", METHODS),
    ("topology", "connection", "tcp:topology.example", TCP),
    ("topology", "connection", "tcp:192.0.2.300:6642", TCP),
    ("topology", "connection", "tcp:-name:6642", TCP),
    ("topology", "connection", "tcp:two words:6642", TCP),
    ("topology", "connection", f"tcp:{'a' * 64}:6642", TCP),
    ("topology", "listen", "tcp:topology.example:6642", TCP),
    (
        "topology",
        "listen",
        "unix:/a.sock",
        "expected tcp:ADDRESS:PORT or ssl:ADDRESS:PORT; the unix socket is always there",
    ),
    ("topology", "listen", "tcp:127.0.0.1:1,tcp:127.0.0.1:1", "expected each address once"),
    ("topology", "host_rights", "true", "expected listen = ssl:ADDRESS:PORT too: only TLS says which host it is"),
    ("network", "tenant_network_type", "flat", "expected one of gre, vxlan, geneve, vlan, local"),
    (
        "network",
        "tenant_network_type",
        "vlan",
        "expected a range in network_vlan_ranges to allocate from, such as physnet1:100:199",
    ),
    ("network", "tunnel_id_ranges", "", "expected MIN:MAX, since networks are gre"),
    ("network", "tunnel_id_ranges", "5", "expected MIN:MAX, such as 1:1000, not '5'"),
    ("network", "tunnel_id_ranges", "1:2:3", "expected MIN:MAX, such as 1:1000, not '1:2:3'"),
    ("network", "tunnel_id_ranges", "9:3", "expected MIN:MAX with MIN not above MAX, not '9:3'"),
    ("network", "tunnel_id_ranges", "0:3", "expected ids from 1 to 4294967295, not '0:3'"),
    ("network", "tunnel_id_ranges", "1:4294967296", "expected ids from 1 to 4294967295, not '1:4294967296'"),
    ("network", "network_vlan_ranges", "p:1:4095", "expected ids from 1 to 4094, not '1:4095'"),
    ("network", "network_vlan_ranges", "p:7", "expected MIN:MAX, such as 1:1000, not '7'"),
    ("network", "network_vlan_ranges", ":1:2", "expected PHYSICAL_NETWORK or PHYSICAL_NETWORK:MIN:MAX, not ':1:2'"),
    ("network", "base_mac", "fa:16:3e", MAC),
    ("network", "base_mac", "01:00:5e:00:00:00", MAC),
    ("network", "base_mac", "00:00:00:00:00:00", MAC),
    ("network", "global_physnet_mtu", "0", "expected a number of bytes from 68 to 65535"),
    ("network", "global_physnet_mtu", "65536", "expected a number of bytes from 68 to 65535"),
    ("network", "physical_network_mtus", "p:0", "expected a number of bytes from 68 to 65535"),
    ("network", "physical_network_mtus", ":9000", f"{MTUS}, not ':9000'"),
    ("network", "physical_network_mtus", "p:68,p:69", f"{MTUS}, not 'p:69'"),
]


def refusal(*files: Path, topology: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load([str(file) for file in files], topology)
    text = str(caught.value)
    assert text.isprintable(), "one line, nothing that a terminal obeys"
    return text


@pytest.mark.parametrize(("group", "name", "value", "expected"), BAD_VALUES)
def test_bad_value(tmp_path: Path, group: str, name: str, value: str, expected: str) -> None:
    file = tmp_path / "c.conf"
    file.write_text(f"[{group}]\n{name} = {value}\n")
    assert refusal(file) == f"{file}: [{group}] {name} = {value!r}: {expected}"


def test_the_file_that_holds_the_value_is_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("[ovs]\nof_listen_port = 6633\n")
    bad.write_text("[ovs]\nof_listen_port = x\n")
    assert refusal(good, bad) == f"{bad}: [ovs] of_listen_port = 'x': {PORT}"


def test_ids_that_the_encapsulation_cannot_carry(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("[network]\ntenant_network_type = vxlan\ntunnel_id_ranges = 1:9, 10:16777216\n")
    assert refusal(file) == f"{file}: [network] tunnel_id_ranges = '10:16777216': expected ids up to 16777215 for vxlan"


def test_members_and_hosts_have_an_address_each(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("[topology]\nlisten = tcp:192.0.2.1:6642\ncluster_address = tcp:192.0.2.1:6642\n")
    assert refusal(file).endswith("cluster_address = 'tcp:192.0.2.1:6642': expected another port than that of listen")


def test_a_default_that_does_not_fit_names_no_file(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("[agent]\nreport_interval = 60\n")
    assert refusal(file) == "[agent] agent_down_time = '75': expected at least twice report_interval, which is 60"


def test_values_are_shown_escaped_and_cut(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("[ovs]\nlocal_ip = \x1b[2J" + "x" * 500 + "\n")
    assert refusal(file) == f"{file}: [ovs] local_ip = '\\x1b[2J{'x' * 196}…': expected an IP address"


@pytest.mark.parametrize("value", ["$nowhere/run", "$run_path", "${ovs.nowhere}", "$nogroup.x"])
def test_references_that_lead_nowhere(tmp_path: Path, value: str) -> None:
    file = tmp_path / "c"
    file.write_text(f"[DEFAULT]\nrun_path = {value}\n")
    assert refusal(file) == f"[DEFAULT] run_path: {UNRESOLVED}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host = h1\n", "line 1, Section must be started before assignment: ''"),
        ("[ovs\n", "line 1, Invalid section (must end with ]): '[ovs'"),
        ("[ovs]\n\nlocal_ip\n", "line 3, No ':' or '=' found in assignment: 'local_ip'"),
        ("[ovs]\n  local_ip = 10.0.0.1\n", "line 2, Unexpected continuation line: '  local_ip = 10.0.0.1'"),
        ("[ovs]\n= 10.0.0.1\n", "line 2, Key cannot be empty: '= 10.0.0.1'"),
    ],
)
def test_text_that_is_no_configuration(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "c"
    file.write_text(text)
    assert refusal(file) == f"{file}: {reason}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"[ovs]\nlocal_ip = \xff\n")
    cannot = "cannot read this configuration file"
    assert refusal(tmp_path / "missing") == f"{tmp_path}/missing: {cannot}: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: {cannot}: Is a directory"
    assert refusal(binary) == f"{binary}: {cannot}: byte 17 is not UTF-8"


def test_a_configuration_file_is_a_file(tmp_path: Path) -> None:
    """A pipe can be read once, and is read twice; a device has no end."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(2**40)  # has no blocks
    cannot = "cannot read this configuration file"
    assert refusal(pipe) == f"{pipe}: {cannot}: it is no regular file"
    assert refusal(Path("/dev/zero")) == f"/dev/zero: {cannot}: it is no regular file"
    assert refusal(large) == f"{large}: {cannot}: it is larger than 16 MiB"
    descriptor, end = os.pipe()
    os.write(end, b"[ovs]\nlocal_ip = 192.0.2.1\n")
    os.close(end)
    try:
        assert refusal(Path(f"/dev/fd/{descriptor}")) == f"/dev/fd/{descriptor}: {cannot}: it is no regular file"
    finally:
        os.close(descriptor)
    assert config.load(["/dev/null"]).ovs.local_ip is None


def test_bad_topology_override() -> None:
    assert refusal(topology="nowhere") == f"--topology 'nowhere': {METHODS}"
    assert refusal(topology="") == f"--topology '': {METHODS}"
