"""Configuration that is right: defaults, Neutron's file, several files, what follows from the options."""

from __future__ import annotations

import dataclasses
import re
import socket
from pathlib import Path

import pytest
from immutables import Map

from controller.config import config, manual
from controller.config.declaration import Declaration, groups_of, option, options_of
from controller.config.manual import sample
from controller.config.topology_options import NetworkConfig
from topology.model import NetworkType
from topology.ovsdb.tls import TlsFiles
from topology.rules.allocation.segment_allocation import AllocationPolicy

ROOT = Path(__file__).resolve().parents[3]

NEUTRON_FILE = """\
[DEFAULT]
transport_url = rabbit://openstack:secret@controller:5672/
debug = True
host = compute-1
rpc_response_timeout = 60

[ovs]
# the options of an ordinary compute node
integration_bridge = br-int
tunnel_bridge = br-tun
bridge_mappings = physnet1:br-ex,
  physnet2 : br-vlan
local_ip = 10.0.0.1
ovsdb_connection = tcp:127.0.0.1:6640
of_listen_address = 127.0.0.1
of_listen_port = 6633
of_connect_timeout = 300
of_inactivity_probe = 10
ovsdb_timeout = 10
datapath_type = netdev

[agent]
polling_interval = 2
tunnel_types = vxlan,gre
vxlan_udp_port = 8472
l2_population = True
arp_responder = False
drop_flows_on_start = false
root_helper = sudo neutron-rootwrap /etc/neutron/rootwrap.conf
extensions =

[securitygroup]
firewall_driver = openvswitch
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_defaults_serve_a_single_host() -> None:
    loaded = config.load([])
    assert loaded.host == socket.gethostname()
    assert (loaded.state_path, loaded.run_path) == ("/var/lib/tunbridge", "/run/tunbridge")
    assert (loaded.debug, loaded.log_file, loaded.ovs.local_ip, loaded.topology.connection) == (False, None, None, None)
    assert loaded.ovs.ovsdb_connection == "unix:/var/run/openvswitch/db.sock"
    assert (loaded.ovs.integration_bridge, loaded.ovs.tunnel_bridge) == ("br-int", "br-tun")
    assert (loaded.ovs.int_peer_patch_port, loaded.ovs.tun_peer_patch_port) == ("patch-tun", "patch-int")
    assert (loaded.ovs.of_listen_address, loaded.ovs.of_listen_port) == ("127.0.0.1", 6653)
    assert (loaded.ovs.datapath_type, dict(loaded.ovs.bridge_mappings)) == ("system", {})
    assert (loaded.ovs.of_listen_method, loaded.ovs.tls, loaded.topology.tls) == ("tcp", None, None)
    assert (loaded.agent.tunnel_types, loaded.agent.vxlan_udp_port) == (("gre",), 4789)
    refinements = {
        "agent.l2_population": True,
        "agent.flood_unknown_unicast": False,
        "agent.arp_responder": True,
        "securitygroup.permitted_ethertypes": "",
        "metrics.port_drops": False,
    }
    assert loaded.applications == Map(refinements)
    assert (loaded.agent.dont_fragment, loaded.agent.tunnel_csum) == (True, False)
    assert (loaded.agent.report_interval, loaded.agent.agent_down_time, loaded.agent.audit_interval) == (30, 75, 60)
    assert loaded.network == NetworkConfig("gre", ((1, 16777215),), {}, "fa:16:3e:00:00:00", 1500, {})
    assert loaded.topology_connection == "unix:/run/tunbridge/topology.sock"
    assert loaded.control_socket == "/run/tunbridge/control.sock"


def test_no_audit(tmp_path: Path) -> None:
    """0 is a value of its own where the next smallest is larger."""
    assert config.load([write(tmp_path / "tunbridge.conf", "[agent]\naudit_interval = 0\n")]).agent.audit_interval == 0


def test_neutrons_file_is_read_as_it_is(tmp_path: Path) -> None:
    loaded = config.load([write(tmp_path / "openvswitch_agent.ini", NEUTRON_FILE)])
    assert (loaded.host, loaded.debug) == ("compute-1", True)
    assert dict(loaded.ovs.bridge_mappings) == {"physnet1": "br-ex", "physnet2": "br-vlan"}
    assert (loaded.ovs.local_ip, loaded.ovs.ovsdb_connection) == ("10.0.0.1", "tcp:127.0.0.1:6640")
    assert (loaded.ovs.of_listen_port, loaded.ovs.of_connect_timeout, loaded.ovs.datapath_type) == (6633, 300, "netdev")
    assert (loaded.agent.tunnel_types, loaded.agent.vxlan_udp_port) == (("vxlan", "gre"), 8472)
    assert (loaded.applications["agent.l2_population"], loaded.applications["agent.arp_responder"]) == (True, False)


@pytest.mark.parametrize(
    ("lines", "asked", "is_enforced", "unenforced"),
    [
        ("", None, True, None),
        ("enable_security_group = True\nfirewall_driver = iptables_hybrid\n", True, True, None),
        ("enable_security_group =\n", None, True, None),
        ("enable_security_group = false\n", False, False, "[securitygroup] enable_security_group = false"),
        ("firewall_driver = noop\n", None, False, "[securitygroup] firewall_driver = noop"),
        (
            "enable_security_group = true\nfirewall_driver = neutron.agent.firewall.NoopFirewallDriver\n",
            True,
            False,
            "[securitygroup] firewall_driver = noop",
        ),
    ],
)
def test_what_is_filtered(
    tmp_path: Path, lines: str, asked: bool | None, is_enforced: bool, unenforced: str | None
) -> None:
    """Unset is neither yes nor no: ports that ask for it are filtered, and new networks do not by themselves."""
    group = config.load([write(tmp_path / "c", f"[securitygroup]\n{lines}")]).securitygroup
    assert (group.enable_security_group, group.is_enforced, group.unenforced) == (asked, is_enforced, unenforced)


def test_ethertypes_are_read_as_neutron_writes_them(tmp_path: Path) -> None:
    """Of applications, so in the view that flows are made of; each once, in order."""
    lines = "[securitygroup]\npermitted_ethertypes = 0x88CC, 0x88b5,0x88cc\n"
    loaded = config.load([write(tmp_path / "c", lines)])
    assert loaded.applications["securitygroup.permitted_ethertypes"] == "0x88b5,0x88cc"


def test_the_last_file_holds(tmp_path: Path) -> None:
    first = write(tmp_path / "1", "[ovs]\nlocal_ip = 10.0.0.1\nof_listen_port = 6633\n")
    second = write(tmp_path / "2", "[ovs]\nlocal_ip = 2001:DB8:0::2\n")
    loaded = config.load([first, second])
    assert (loaded.ovs.local_ip, loaded.ovs.of_listen_port) == ("2001:db8::2", 6633)


@pytest.mark.parametrize("name", ["m1", "Topology.Example", "a_b.c-d.example.", "3com.example", "1.2.3.x4"])
def test_servers_of_the_topology_may_be_given_by_name(tmp_path: Path, name: str) -> None:
    loaded = config.load([write(tmp_path / "c", f"[topology]\nconnection = tcp:{name}:6642, tcp:192.0.2.1:6642\n")])
    assert loaded.topology.connection == f"tcp:{name.lower()}:6642,tcp:192.0.2.1:6642"


def test_lists_and_references(tmp_path: Path) -> None:
    text = (
        "[DEFAULT]\nstate_path = /srv/t\nrun_path = $state_path/run\n"
        "[topology]\nconnection = tcp:192.0.2.1:6642, ssl:[2001:DB8::1]:6642\nlisten = tcp:0.0.0.0:6642\n"
        "ssl_key_file = /k.pem\nssl_cert_file = /c.pem\nssl_ca_cert_file = /a.pem\n"
        "[agent]\ntunnel_types =\n"
        "[network]\ntenant_network_type = vlan\ntunnel_id_ranges = 1:10,\n 20:4294967295\n"
        "network_vlan_ranges = p1:100:199, p2, p1:300:300\nbase_mac = FA:16:3E:4F:00:00\n"
        "global_physnet_mtu = 9000\nphysical_network_mtus = p1:1500, p2 : 68\n"
    )
    loaded = config.load([write(tmp_path / "c", text)])
    assert loaded.run_path == "/srv/t/run"
    assert loaded.topology.connection == loaded.topology_connection == "tcp:192.0.2.1:6642,ssl:[2001:db8::1]:6642"
    assert loaded.topology.listen == ("tcp:0.0.0.0:6642",)
    assert loaded.topology.tls == TlsFiles("[topology]", "/k.pem", "/c.pem", "/a.pem", None)
    assert loaded.agent.tunnel_types == ()
    assert loaded.network.tunnel_id_ranges == ((1, 10), (20, 4294967295))
    assert dict(loaded.network.network_vlan_ranges) == {"p1": ((100, 199), (300, 300)), "p2": ()}
    assert loaded.network.base_mac == "fa:16:3e:4f:00:00"
    assert (loaded.network.global_physnet_mtu, loaded.network.physical_network_mtus) == (9000, {"p1": 1500, "p2": 68})


def test_allocation_policy(tmp_path: Path) -> None:
    text = (
        "[network]\ntenant_network_type = vlan\ntunnel_id_ranges = 5:9\nnetwork_vlan_ranges = p:1:2\n"
        "base_mac = 0a:00:00:00:00:00\nglobal_physnet_mtu = 9000\nphysical_network_mtus = p:1400\n"
    )
    policy = config.load([write(tmp_path / "c", text)]).allocation_policy()
    assert policy == AllocationPolicy(
        NetworkType.VLAN, ((5, 9),), {"p": ((1, 2),)}, "0a:00:00:00:00:00", 9000, {"p": 1400}
    )


def test_topology_override(tmp_path: Path) -> None:
    path = write(tmp_path / "c", "[topology]\nconnection = unix:/a.sock\n")
    assert config.load([path]).topology_connection == "unix:/a.sock"
    assert config.load([path], "tcp:127.0.0.1:6642").topology_connection == "tcp:127.0.0.1:6642"


@pytest.mark.parametrize(
    ("text", "override", "is_partial"),
    [
        ("", None, False),
        ("", "unix:/a.sock", True),
        ("connection = tcp:192.0.2.1:6642", None, True),
        ("connection = tcp:192.0.2.1:6642\nfollow = all", None, False),
        ("follow = host", None, True),
    ],
)
def test_all_is_followed_of_a_database_of_its_own(
    tmp_path: Path, text: str, override: str | None, is_partial: bool
) -> None:
    """And of another what concerns the host, unless the option says otherwise."""
    path = write(tmp_path / "c", f"[topology]\n{text}\n")
    assert config.load([path], override).topology.is_partial is is_partial


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_OVS__OF_LISTEN_PORT", "1")
    monkeypatch.setenv("OS_DEFAULT__HOST", "elsewhere")
    loaded = config.load([])
    assert (loaded.ovs.of_listen_port, loaded.host) == (6653, socket.gethostname())


def test_each_load_is_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "c", "[ovs]\nof_listen_port = 7000\n")
    assert config.load([path]).ovs.of_listen_port == 7000
    assert config.load([]).ovs.of_listen_port == 6653


def test_nothing_changes_after_load() -> None:
    loaded = config.load([])
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.ovs.of_listen_port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        loaded.ovs.bridge_mappings["p"] = "br-p"  # type: ignore[index]


def documented() -> dict[tuple[str, str], str]:
    """Group and name → the default as the page writes it."""
    found = {}
    group = ""
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## \[(\w+)\]", line)
            group = heading[1] if heading else ""
        elif group and (row := re.fullmatch(r"\| `(\w+)` \|(.*?)\| .+ \|", line)):
            found[group, row[1]] = row[2].strip().strip("`")
    return found


def declared() -> dict[tuple[str, str], Declaration]:
    return {(group, name): one for group, options in config.declared_options().items() for name, one in options.items()}


def test_every_option_is_documented_with_its_default() -> None:
    assert documented() == {place: "—" if one.default is None else one.default for place, one in declared().items()}


def test_every_option_has_a_text_in_one_line() -> None:
    assert all(
        one.text and one.text.isprintable() and (one.form or one.default is not None) for one in declared().values()
    )


def test_every_field_is_an_option() -> None:
    """An attribute that no declaration is behind would be one that no file can set."""
    groups = groups_of(config.Config)
    fields = {field.name for field in dataclasses.fields(config.Config)}
    assert fields == options_of(config.Config).keys() | groups.keys() | {"files", "applications", "apps"}
    for group in groups.values():
        assert {field.name for field in dataclasses.fields(group)} == options_of(group).keys()


def test_what_is_made_without_a_file_is_what_a_file_that_sets_nothing_makes(tmp_path: Path) -> None:
    path = write(tmp_path / "c", "")
    assert config.load([path]) == dataclasses.replace(config.Config(), files=(path,))


# The sample file


def test_the_sample_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "c", sample())
    assert config.load([path]) == dataclasses.replace(config.load([]), files=(path,))


def test_what_the_sample_says_of_defaults_is_so(tmp_path: Path) -> None:
    """Each option of the sample that has a default may be uncommented as it is, and is the default then."""
    path = write(tmp_path / "c", re.sub(r"^#(\w+ =(?: [^<].*)?)$", r"\1", sample(), flags=re.MULTILINE))
    assert (tmp_path / "c").read_text().count("\nof_listen_port = 6653\n") == 1
    assert config.load([path]) == dataclasses.replace(config.load([]), files=(path,))


def test_the_sample_has_every_option_once_with_its_meaning() -> None:
    found, group, comment = {}, "", ""
    for line in sample().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            group = heading[1]
        elif setting := re.fullmatch(r"#(\w+) =(?: (.*))?", line):
            assert (group, setting[1]) not in found
            found[group, setting[1]] = (setting[2] or "", comment)
        comment = f"{comment} {line[2:]}".strip() if line.startswith("# ") else ""
    assert {place: default for place, (default, _) in found.items()} == {
        place: f"<{one.form}>" if one.default is None else one.default for place, one in declared().items()
    }
    for place, (_, said) in found.items():
        assert said.split()[:3] == declared()[place].text.split()[:3]


def test_a_link_of_the_manual_is_a_page_in_the_sample() -> None:
    assert "Security (docs/security.md) has the difference" in sample()
    assert "](" not in sample()


# Declarations


@dataclasses.dataclass(frozen=True)
class Base:
    """Options that several groups have."""

    inherited: str = option("i", str, "of the base")
    changed: str = option("c", str, "of the base")


@dataclasses.dataclass(frozen=True)
class Derived(Base):
    """A group with options of its own."""

    own: int = option("7", int, "own")
    changed: str = option("d", str, "of the group")


def test_own_options_come_first() -> None:
    assert [(name, one.default, one.text) for name, one in options_of(Derived).items()] == [
        ("own", "7", "own"),
        ("inherited", "i", "of the base"),
        ("changed", "d", "of the group"),
    ]
    assert Derived() == Derived("i", "d", 7)


def test_a_page_without_a_place_for_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the lines"):
        manual.page("# Configuration\n")


def test_an_option_written_as_empty_is_not_one_that_is_unset(tmp_path: Path) -> None:
    """An empty ``ssl_peer_name`` asks for the peer's address in its certificate; the default takes any certificate."""
    empty = config.load([write(tmp_path / "empty.conf", "[ovs]\nssl_peer_name =\n")])
    unset = config.load([write(tmp_path / "unset.conf", "[ovs]\n")])
    assert (empty.ovs.ssl_peer_name, unset.ovs.ssl_peer_name) == (None, "*")


@pytest.mark.parametrize("group", config.declared_options())
def test_each_option_that_may_be_empty_can_be_written_so(group: str, tmp_path: Path) -> None:
    for name, declared in config.declared_options()[group].items():
        try:
            expected = declared.parse("")
        except ValueError:
            continue
        if name == "tunnel_id_ranges":  # must not be empty beside the type of networks that is the default
            continue
        found = config.load([write(tmp_path / f"{name}.conf", f"[{group}]\n{name} =\n")])
        holder = found if group == "DEFAULT" else getattr(found, group)
        key = f"{group}.{name}"  # of an application
        value = found.applications[key] if key in found.applications else getattr(holder, name)
        assert value == expected, name
