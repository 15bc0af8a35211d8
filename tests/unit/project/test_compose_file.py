"""docker-compose.yml: Compose takes it, and its parts fit together and to the program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml

from containers.hypervisor import Vm
from controller.cli import commands
from controller.config import config
from scripts.container_cluster import MEMBERS
from scripts.container_fabric import CLUSTER, ONE_DATABASE
from tests.support.host.compose import Compose, Service

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
RAW = yaml.safe_load(FILE.read_text())
COMPOSE = Compose.model_validate({key: value for key, value in RAW.items() if not key.startswith("x-")})
SERVICES = COMPOSE.services
CONTROLLERS = {
    controller: hypervisor
    for layout in (ONE_DATABASE, CLUSTER)
    for controller, hypervisor in zip(layout.controllers, layout.ends, strict=True)
}
PROGRAM = ("topology", "api", "controller", "relay", "cluster-api", *(one for one in CONTROLLERS))
CONF = "/etc/tunbridge/tunbridge.conf"


def _config(service: Service) -> config.Config:
    """What its configuration file says."""
    sources = [str(volume).split(":")[0] for volume in service.volumes if f":{CONF}:" in f"{volume}:"]
    return config.load([str(ROOT / source) for source in sources])


def _sources(service: Service) -> dict[str, str]:
    """Where each volume is from, by where it is mounted."""
    pairs = [
        (volume.removesuffix(":ro").rsplit(":", 1) if isinstance(volume, str) else (volume.source, volume.target))
        for volume in service.volumes
    ]
    return {target: source for source, target in pairs}


def test_the_services_are_those_of_the_manual() -> None:
    """A fabric that is up by default; another one with a cluster, and one controller, which are not."""
    by_default = {name for name, service in SERVICES.items() if not service.profiles}
    one, other = ({*layout.ends, *layout.controllers, layout.api, layout.check} for layout in (ONE_DATABASE, CLUSTER))
    assert by_default == {"topology", *one}
    assert {name: service.profiles for name, service in SERVICES.items() if service.profiles} == {
        "controller": ["host"],
        **{name: ["cluster"] for name in (*MEMBERS, "relay", *other)},
    }


def test_a_profile_needs_nothing_of_another() -> None:
    """The check of a fabric needs, one by one, all of it, and nothing that is of the other."""
    for layout in (ONE_DATABASE, CLUSTER):
        needed, found = {layout.check}, set()
        while needed - found:
            found |= (new := needed - found)
            needed |= {name for one in new for name in SERVICES[one].depends_on}
        profiles = [layout.profile] if layout.profile else []
        missing = {"api"} if layout is ONE_DATABASE else set()  # comes up with the rest; its check does without
        assert found | missing == {name for name, service in SERVICES.items() if service.profiles == profiles}


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_takes_it() -> None:
    """``docker-compose config`` has nothing to say, with the profiles and without; it needs no engine."""
    for profile in ([], ["--profile", "host"], ["--profile", "cluster"]):
        command = ["docker-compose", "--file", str(FILE), *profile, "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_named_is_there() -> None:
    """Volumes, networks, dependencies and files that services name; and none is left over."""
    used: set[str] = set()
    for name, service in SERVICES.items():
        assert service.depends_on.keys() <= SERVICES.keys()
        assert service.networks.keys() <= COMPOSE.networks.keys()
        for source in _sources(service).values():
            if source.startswith("./"):
                assert (ROOT / source).is_file(), f"{name}: {source}"
            elif not source.startswith("${"):  # a directory of the machine
                used.add(source)
    assert used == COMPOSE.volumes.keys()


def test_each_waits_for_a_health_check_that_is_there() -> None:
    """``service_healthy`` of a service without a check of its own would be that of the image, of another command."""
    for service in SERVICES.values():
        for name, dependency in service.depends_on.items():
            assert dependency.condition == "service_healthy" and SERVICES[name].healthcheck is not None


@pytest.mark.parametrize("name", [*PROGRAM, *MEMBERS])
def test_commands_are_those_of_the_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of a service, and that of its health check, are understood by ``tunbridge``."""
    service = SERVICES[name]
    lines = [service.command or []]
    if name in MEMBERS:
        assert service.entrypoint == ["/bin/sh", "-c"]
        (script,) = lines[0]
        lines = [shlex.split(words) for words in re.findall(r"tunbridge ([a-z][^&|]*)", script)]
        assert [words[1] for words in lines] in (["create-cluster", "serve"], ["join-cluster", "serve"])
    if service.healthcheck is not None:
        kind, program, *arguments = service.healthcheck.test
        assert kind == "CMD"
        if program == "tunbridge":
            lines.append(arguments)
    for command in lines:
        leaf = commands.cli
        for word in command:
            leaf = leaf.commands[word] if isinstance(leaf, commands.click.Group) else leaf
        monkeypatch.setattr(leaf, "callback", lambda **_: 7)
        assert commands.cli.main(command, prog_name="tunbridge", standalone_mode=False) == 7


def test_what_needs_no_privileges_has_none() -> None:
    """All but the hypervisors, which make network devices, run without capabilities on a file system of their own."""
    for name, service in SERVICES.items():
        if name in CONTROLLERS.values():
            assert service.cap_add == ["NET_ADMIN", "SYS_ADMIN"] and service.devices == ["/dev/net/tun"]
            continue
        assert (service.cap_drop, service.cap_add, service.devices) == (["ALL"], [], []), name
        assert service.read_only and service.security_opt == ["no-new-privileges:true"], name
    assert [name for name, service in SERVICES.items() if service.user is not None] == ["controller"]


def test_all_but_the_check_are_started_again() -> None:
    """A container that dies comes back, and one that somebody stops does not."""
    assert {name: service.restart for name, service in SERVICES.items() if service.restart != "unless-stopped"} == {
        "check": "no",
        "cluster-check": "no",
    }


def test_a_controller_shares_the_run_directory_of_its_hypervisor_alone() -> None:
    """And keeps its state, by which it is known to the topology, in a volume of its own."""
    for controller, hypervisor in CONTROLLERS.items():
        mine, its = _sources(SERVICES[controller]), _sources(SERVICES[hypervisor])
        assert mine["/run/openvswitch"] == its["/run/openvswitch"]
        assert mine["/var/lib/tunbridge"] == controller
        assert SERVICES[controller].networks.keys() == {"management"}, "OpenFlow goes by the run directory"
        assert SERVICES[hypervisor].networks.keys() == {"underlay"}
    for name in ("topology", *MEMBERS):
        assert _sources(SERVICES[name])["/var/lib/tunbridge"] == name


def _managed(name: str) -> str:
    """The address of a service."""
    return SERVICES[name].networks["management"].ipv4_address


def test_addresses_are_those_of_the_configuration_files() -> None:
    """The topology database listens where it is; its users find it there; tunnels go between the hypervisors."""
    (listen,) = _config(SERVICES["topology"]).topology.listen
    assert listen == f"tcp:{_managed('topology')}:6642"
    members = ",".join(f"tcp:{_managed(name)}:6642" for name in MEMBERS)
    for layout, topology in ((ONE_DATABASE, listen), (CLUSTER, members)):
        assert SERVICES[layout.check].environment["TOPOLOGY"] == topology
        api = _config(SERVICES[layout.api])
        assert api.topology.connection == topology
        assert api.api.listen_address == _managed(layout.api)
        assert api.api.insecure_remote and COMPOSE.networks["management"].internal
        (check,) = (word for word in SERVICES[layout.api].healthcheck.test if "healthz" in word)
        assert f"http://{api.api.listen_address}:{api.api.listen_port}/healthz" in check
        assert len({_config(SERVICES[controller]).host for controller in layout.controllers}) == 2
    for controller, hypervisor in CONTROLLERS.items():
        loaded = _config(SERVICES[controller])
        assert loaded.ovs.local_ip == SERVICES[hypervisor].networks["underlay"].ipv4_address
        assert (loaded.ovs.datapath_type, loaded.ovs.of_listen_method) == ("netdev", "unix")
    relay = f"tcp:{_managed('relay')}:6642"
    found = [_config(SERVICES[controller]).topology.connection for controller in CONTROLLERS]
    assert found == [listen, listen, relay, members]


def test_members_and_relay_are_at_their_addresses() -> None:
    """Each listens where it is, for hosts and for other members; those that join name the one that creates."""
    for name in MEMBERS:
        loaded = _config(SERVICES[name]).topology
        assert loaded.listen == (f"tcp:{_managed(name)}:6642",)
        assert loaded.cluster_address == f"tcp:{_managed(name)}:6644"
    joined = [re.findall(r"join-cluster (\S+)", (SERVICES[name].command or [""])[0]) for name in MEMBERS]
    assert joined == [[], *[[f"tcp:{_managed(MEMBERS[0])}:6644"]] * 2]
    relay = _config(SERVICES["relay"]).topology
    assert relay.listen == (f"tcp:{_managed('relay')}:6642",)
    assert relay.connection == _config(SERVICES["cluster-api"]).topology.connection


def test_networks_are_of_the_ranges_for_documentation() -> None:
    """RFC 5737: nobody's network is hidden by one of these; each service has an address of its network."""
    taken: list[str] = []
    for service in SERVICES.values():
        for name, attachment in service.networks.items():
            network = IPv4Network(COMPOSE.networks[name].ipam.config[0].subnet)
            assert network in (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.0/24"))
            assert IPv4Address(attachment.ipv4_address) in network
            taken.append(attachment.ipv4_address)
    assert len(set(taken)) == len(taken)


def test_the_vms_are_ports_of_the_demo() -> None:
    """With the id and addresses that examples/demo.yaml gives them, on one network; the check asks both."""
    demo = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())["networks"][0]
    ports = {port["id"]: (port["mac_address"], port["fixed_ips"][0]["ip_address"]) for port in demo["ports"]}
    for layout in (ONE_DATABASE, CLUSTER):
        check = SERVICES[layout.check]
        for number, end in enumerate(layout.ends, 1):
            vm = Vm.from_environment(SERVICES[end].environment)
            mac, address = ports[vm.port]
            assert (vm.mac, vm.address) == (mac, f"{address}/24")
            console = f"/run/vm{number}"
            assert check.environment[f"VM{number}"] == f"{console}/console.sock {address}"
            assert _sources(check)[console] == _sources(SERVICES[end])["/run/vm"] == end.replace("hypervisor", "vm")
