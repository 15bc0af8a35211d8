"""``tunbridge plug`` with real devices in real namespaces, and the example that is made with it."""

from __future__ import annotations

import re
import shutil
import signal
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openstack
import pytest

from controller.plugging import links, plug
from controller.plugging.device_plan import plan_device
from controller.plugging.device_rows import device_rows
from scripts.processes import ChildProcess
from tests.support.golden import Golden
from tests.support.host.tunbridge import ROOT
from tests.support.http.libvirt import add_port_command
from tests.support.lab.lab import Lab
from tests.support.lab.machine import Machine
from tests.support.lab.netns import Namespace, names_with
from tests.support.lab.remains import PREFIX
from tests.support.waiting import wait_until
from topology.database.port_lookup import port_lookup
from topology.errors import DeviceError, VSwitchError
from topology.ovsdb.one_shot import opened

EXAMPLES = ROOT / "examples"
EXAMPLE = "99f91280-a060-442e-90b0-d8324e50efc8"
"""The port of the examples of libvirt and LXC."""

ONE, TWO, DISABLED = (f"{number}9f91280-a060-442e-90b0-d8324e50efc8" for number in (1, 2, 3))
NAME = "tap19f91280-a0"
DOCUMENT = f"""
networks:
- name: pair
  provider:network_type: gre
  subnets:
  - {{cidr: 10.2.0.0/24, gateway_ip: 10.2.0.1}}
  - {{cidr: "fd00:2::/64", gateway_ip: "fd00:2::1"}}
  ports:
  - id: {ONE}
    mac_address: "fa:16:3e:00:02:0b"
    fixed_ips: [{{ip_address: 10.2.0.11}}, {{ip_address: "fd00:2::11"}}]
  - id: {TWO}
    mac_address: "fa:16:3e:00:02:0c"
    fixed_ips: [{{ip_address: 10.2.0.12}}, {{ip_address: "fd00:2::12"}}]
  - {{id: {DISABLED}, mac_address: "fa:16:3e:00:02:0d", admin_state_up: false}}
  - {{id: {EXAMPLE}, mac_address: "fa:16:3e:02:dd:79", fixed_ips: [{{ip_address: 10.2.0.13}}]}}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    file = tmp_path_factory.mktemp("plug") / "pair.yaml"
    file.write_text(DOCUMENT)
    with Lab() as lab:
        yield Machine(lab, file)


@pytest.fixture(autouse=True)
def nothing_left(machine: Machine) -> Iterator[None]:
    """Each test leaves the host as it was: no device, and no namespace that plugging has made."""
    before = namespaces(machine)
    yield
    assert (machine.ports(), machine.devices(), namespaces(machine)) == ([], [], before)


def namespaces(machine: Machine) -> list[str]:
    """Names of all namespaces but those of other labs, which come and go as they like."""
    own = machine.lab.directory.name
    return [name for name in names_with("") if name.startswith(own) or not name.startswith(PREFIX)]


def routes(namespace: Namespace) -> list[str]:
    """Default routes of both IP versions, as far as they are ours."""
    lines = namespace.run("ip", "route").splitlines() + namespace.run("ip", "-6", "route").splitlines()
    return [" ".join(line.split()[:5]) for line in lines if line.startswith("default")]


def test_the_reference_case_with_the_clients_that_people_have(machine: Machine, golden: Golden) -> None:
    """examples/namespaces.sh with examples/clouds.yaml, as they stand: flows as in the specification, and the table of
    ports has their ids, names, MAC and IP addresses.
    """
    script = EXAMPLES / "namespaces.sh"
    try:
        up = machine.run(script, "up")
        assert up.returncode == 0, up.stdout + up.stderr
        assert "3 packets transmitted, 3 received" in up.stdout
        mode = {"port-per-peer": ""}.get(machine.lab.mode_of(machine.host), "-flow-based")
        golden.check(f"reference-br-tun{mode}.flows", machine.host.ovs.dump("br-tun"))
    finally:
        down = machine.run(script, "down")
    assert down.returncode == 0, down.stdout + down.stderr
    plugged = re.findall(r"^port (\S+) plugged in as \S+ in namespace (\S+) .*, ACTIVE$", up.stdout, re.MULTILINE)
    (gateway, dhcp, vm), namespaces = zip(*plugged, strict=True)
    assert namespaces == ("demo-gateway", "demo-dhcp", "demo-vm")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in up.stdout.splitlines() if line[:1] == "|"]
    (subnet,) = set(re.findall(r"subnet_id='([^']*)'", up.stdout))
    assert table == [
        ["ID", "Name", "MAC Address", "Fixed IP Addresses", "Status"],
        [dhcp, "dhcp", "fa:16:3e:b6:fc:21", f"ip_address='10.1.1.12', subnet_id='{subnet}'", "ACTIVE"],
        [gateway, "gateway", "fa:16:3e:2a:6e:1c", f"ip_address='10.1.1.1', subnet_id='{subnet}'", "ACTIVE"],
        [vm, "vm", "fa:16:3e:02:dd:79", f"ip_address='10.1.1.13', subnet_id='{subnet}'", "ACTIVE"],
    ]


def test_two_namespaces_are_on_one_network(machine: Machine) -> None:
    """With addresses, MTU and routes of both IP versions; plugged twice, nothing changes. A namespace goes with its
    last device where plugging has made it, and stays where it was there before.
    """
    with machine.netns("one") as one, machine.netns("two", make=True) as two:
        what = f"tap19f91280-a0 in namespace {one.name}%s: fa:16:3e:00:02:0b 10.2.0.11/24 fd00:2::11/64, ACTIVE"
        assert machine.plug(ONE, one) == f"port {ONE} plugged in as " + what % " (namespace made)"
        assert f"in namespace {two.name}: " in machine.plug(TWO, two)
        assert machine.plug(ONE, one) == f"port {ONE} is plugged in as " + what % " already"
        assert " mtu 1454 " in one.run("ip", "link", "show", NAME)
        assert routes(one) == [f"default via 10.2.0.1 dev {NAME}", f"default via fd00:2::1 dev {NAME}"]
        for address in ("10.2.0.12", "fd00:2::12", "127.0.0.1"):
            one.run("ping", "-c", "1", "-W", "2", address)
        assert machine.devices() == []
        assert machine.unplug(ONE) == f"port {ONE} unplugged: {NAME} removed; namespace {one.name} removed"
        assert machine.unplug(TWO) == f"port {TWO} unplugged: tap29f91280-a0 removed"
        assert names_with(one.name) == []
        assert "tap" not in two.run("ip", "link")


def test_the_hosts_own_namespace_keeps_its_routes(machine: Machine) -> None:
    """A device without a namespace has its addresses there; one that moves into a namespace later takes them along."""
    before = routes(machine.host.namespace)
    machine.plug(ONE)
    assert "10.2.0.11/24" in machine.host.namespace.run("ip", "address", "show", NAME)
    assert " mtu 1454 " in machine.host.namespace.run("ip", "link", "show", NAME)
    assert routes(machine.host.namespace) == before
    with machine.netns("one") as one:
        machine.plug(ONE, one)
        assert "10.2.0.11/24" in one.run("ip", "address", "show", NAME)
        assert machine.devices() == []
        machine.unplug(ONE)


def test_a_namespace_that_others_use_is_left(machine: Machine) -> None:
    """It goes with the last device that was plugged in, unless it has devices of somebody else."""
    with machine.netns("one") as one:
        machine.plug(ONE, one)
        machine.plug(TWO, one)
        assert machine.unplug(ONE) == f"port {ONE} unplugged: {NAME} removed"
        one.ip("link add other0 type veth peer name other1")
        said = f"port {TWO} unplugged: tap29f91280-a0 removed; namespace {one.name} left, it has other0, other1"
        assert machine.unplug(TWO) == said


def test_a_call_that_was_cut_short_is_finished_by_the_next(machine: Machine) -> None:
    """Killed after the rows were written, or after the namespace was made, by plugging again or by unplugging."""
    with opened(port_lookup(machine.lab.topology, ONE), 10) as found:
        assert found.port is not None
        plan = plan_device(found.port, with_routes=True)
    for made, finish in ((False, machine.plug), (True, machine.plug), (False, None), (True, None)):
        with machine.netns("one") as one:
            with device_rows(machine.config.ovs.ovsdb_connection, "br-int") as rows:
                rows.plug(plan, one.name, makes_netns=True)
            if made:
                links.make_namespace(one.name)
            if finish is not None:
                assert finish(ONE, one).endswith("ACTIVE")
            machine.unplug(ONE)
            assert names_with(one.name) == []


def test_what_cannot_be_done_is_undone(machine: Machine) -> None:
    """Without the right to change devices, and where another device has the name."""
    without_rights = ("setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin")
    done = machine.run(*without_rights, "tunbridge", "plug", ONE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tunbridge: network device {NAME}: Operation not permitted: plugging needs root\n"
    machine.host.namespace.ip(f"tuntap add dev {NAME} mode tap")
    try:
        with pytest.raises(
            DeviceError, match=f"the name {NAME} is taken by a network device that is not Open vSwitch's"
        ):
            machine.plug(ONE)
        assert machine.ports() == []
    finally:
        machine.host.namespace.ip(f"link delete {NAME}")


def test_a_port_that_does_not_become_active_is_named_with_the_reason(machine: Machine) -> None:
    """The device stays, dead, for the controller to bind it when it can."""
    with machine.netns("one") as one:
        with pytest.raises(DeviceError, match=r"but the port is DOWN after 1 s: .*admin_state_up of the port is false"):
            machine.plug(DISABLED, one, wait=1)
        nowhere = replace(machine.config, run_path="/nonexistent")
        with machine.host.namespace.inside(), pytest.raises(DeviceError, match="no controller is running on this host"):
            plug.plug(nowhere, DISABLED, one.name, 0.1)
        assert machine.host.ovs.tag("tap39f91280-a0") == 4095
        assert machine.plug(DISABLED, one, wait=None).endswith("already: fa:16:3e:00:02:0d, DOWN")
        machine.unplug(DISABLED)


def test_a_device_that_was_made_anew_is_set_up_anew(machine: Machine) -> None:
    """An ovs-vswitchd of the userspace datapath makes new devices when it is restarted, and leaves the old ones behind
    in the namespaces; with the kernel's datapath they stay what they are.
    """
    with machine.netns("one") as one:
        machine.plug(ONE, one)
        machine.host.ovs.restart_vswitchd(signal.SIGKILL)
        assert machine.devices() == [NAME]
        assert machine.plug(ONE, one).startswith(f"port {ONE} plugged in as {NAME}")
        assert "10.2.0.11/24" in one.run("ip", "address", "show", NAME)
        machine.unplug(ONE)
        assert names_with(one.name) == []


def test_openstacksdk_takes_the_clouds_yaml(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, with the API at its default address."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(EXAMPLES / "clouds.yaml"))
    with machine.host.namespace.inside(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells each user of what it is going to remove
        with openstack.connect(cloud="tunbridge") as cloud:
            assert {port.id for port in cloud.network.ports()} == {ONE, TWO, DISABLED, EXAMPLE}


def test_what_libvirt_plugs_is_bound(machine: Machine) -> None:
    """examples/libvirt-domain.xml as it stands: dead at first, and then on its network."""
    words = add_port_command(EXAMPLES / "libvirt-domain.xml")
    assert "trunks=4095" in words
    machine.host.namespace.ip("tuntap add dev tap99f91280-a0 mode tap")  # as libvirt does for QEMU
    try:
        machine.host.ovs.vsctl(*words)
        machine.controller.wait_device("tap99f91280-a0", status="ACTIVE", id=EXAMPLE)
        assert machine.host.ovs.tag("tap99f91280-a0") not in (None, 4095)
        with pytest.raises(VSwitchError, match="tap99f91280-a0 is a device that somebody else has plugged"):
            machine.unplug(EXAMPLE)
        machine.host.ovs.vsctl("--if-exists", "del-port", "tap99f91280-a0")
    finally:
        machine.host.namespace.ip("link delete tap99f91280-a0")


def lxc_options() -> dict[str, str]:
    """Options of examples/lxc-container.conf."""
    lines = (EXAMPLES / "lxc-container.conf").read_text().splitlines()
    return dict(line.split(" = ", 1) for line in lines if not line.startswith("#"))


def test_the_hooks_of_lxc(machine: Machine) -> None:
    """Called as LXC calls them, they plug a port into the container, and leave nothing when it has stopped."""
    options, netns = lxc_options(), Namespace("lxc-plugtest")
    container = ChildProcess(["unshare", "--net", "sleep", "100"])
    try:
        wait_until(lambda: not_ours(container.pid), 10, "the container has a namespace of its own")
        told = {"LXC_NAME": "plugtest", "LXC_PID": str(container.pid)}
        for hook in ("start-host", "post-stop"):
            installed, port = options[f"lxc.hook.{hook}"].split()
            script = EXAMPLES / Path(installed).name
            done = machine.run(script, port, **told, LXC_HOOK_TYPE=hook)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            if hook == "start-host":
                assert done.stdout.endswith(" ACTIVE\n")
                assert "10.2.0.13/24" in netns.run("ip", "address", "show", "tap99f91280-a0")
                container.stop()
    finally:
        container.stop()
        netns.delete()


def not_ours(pid: int) -> bool:
    """Whether a process has another network namespace than we have."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino != Path("/proc/self/ns/net").stat().st_ino


@pytest.mark.skipif(shutil.which("lxc-execute") is None, reason="LXC is not installed")
def test_a_container_of_lxc(machine: Machine, tmp_path: Path) -> None:
    """With examples/lxc-container.conf, but for the place of the hook: when its init runs, its port is ACTIVE."""
    text = (EXAMPLES / "lxc-container.conf").read_text().replace("/usr/local/lib/tunbridge", str(EXAMPLES))
    config = tmp_path / "config"
    config.write_text(f"{text}lxc.console.path = none\n")
    what = ("lxc-execute", "-n", "plugtest", "-f", config, "-P", tmp_path, "-o", tmp_path / "log", "-l", "DEBUG", "--")
    done = machine.run(*what, "ip", "address")
    log = (tmp_path / "log").read_text()
    assert done.returncode == 0, log
    assert "inet 10.2.0.13/24 scope global tap99f91280-a0" in done.stdout, log
    assert "ACTIVE" in log
