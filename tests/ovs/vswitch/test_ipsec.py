"""Encrypted tunnels: what ovs-monitor-ipsec reads is in the rows, and a secret is nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ovs.vswitch.test_tunnels import LOCAL_IP, PAIR, Mesh, controller_on, gre_to
from tests.support.host.ovs import OvsHost
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

pytestmark = pytest.mark.one_hub

SECRET = "correct,horse=battery;staple"
MONITOR = Path(os.environ.get("OVS_MONITOR_IPSEC", "/usr/share/openvswitch/scripts/ovs-monitor-ipsec"))
IPSEC = "#!/bin/sh\necho Linux strongSwan U5.9.8\n"


@pytest.fixture(scope="module")
def mesh(hub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A host with two peers, and tunnels that are encrypted with a secret."""
    psk = tmp_path_factory.mktemp("ipsec") / "psk"
    psk.write_text(f"{SECRET}\n")
    psk.chmod(0o640)
    options = {"ovs": {"local_ip": LOCAL_IP}, "agent": {"tunnel_encryption": "ipsec", "ipsec_psk_file": psk}}
    with OvsdbServer() as server, OvsHost() as ovs, controller_on(ovs, server.start(), hub, options) as tunbridge:
        mesh = Mesh(ovs, tunbridge, server)
        for number, address in enumerate(PAIR.values(), start=2):
            mesh.add(f"h{number}", [address])
        mesh.wait_tunnels({name: gre_to(ip, psk=SECRET) for name, ip in PAIR.items()})
        yield mesh


def problems(mesh: Mesh) -> list[str]:
    return [problem for problem in mesh.tunbridge.quick_status()["problems"] if "ipsec" in problem]


def test_the_secret_is_in_the_rows_and_nowhere_else(mesh: Mesh) -> None:
    tunbridge = mesh.tunbridge
    mesh.ovs.vsctl("set", "Interface", "gre-c0000202", "options:psk=another-one-of-16")
    mesh.wait_tunnels({name: gre_to(ip, psk=SECRET) for name, ip in PAIR.items()})
    mesh.ovs.vsctl("del-port", "br-tun", "gre-c0000203")
    mesh.wait_tunnels({name: gre_to(ip, psk=SECRET) for name, ip in PAIR.items()})
    told = [tunbridge.log_text(), json.dumps(tunbridge.status()), tunbridge.command("status", statuses=(0, 3))]
    assert "tunnel gre-c0000202 to host h2 at 192.0.2.2 changed" in told[0]
    assert not [text for text in told if SECRET in text or "another-one-of-16" in text]


def test_a_dry_run_hides_it(mesh: Mesh) -> None:
    """And says that it would be another."""
    tunbridge = mesh.tunbridge
    tunbridge.stop()
    mesh.ovs.vsctl("set", "Interface", "gre-c0000202", 'options:psk="another one, of 16"')
    arguments = ("controller", "--dry-run", "--config-file", str(tunbridge.config_file))
    printed = tunbridge.command(*arguments, statuses=(0, 3))
    tunbridge.start()
    tunbridge.wait_ready()
    assert "options:psk=***" in printed
    assert SECRET not in printed and "another one" not in printed


def test_a_monitor_that_does_not_run_is_a_problem(mesh: Mesh) -> None:
    (problem,) = wait_until(lambda: problems(mesh), 60, "it is said")
    assert problem.startswith("[agent] tunnel_encryption = ipsec, and tunnels may not be encrypted: ovs-monitor-ipsec")
    assert str(mesh.ovs.directory) in problem
    assert not mesh.tunbridge.quick_status()["in_sync"]


@pytest.mark.skipif(not MONITOR.exists(), reason="package openvswitch-ipsec is not installed")
def test_the_monitor_reads_the_rows(mesh: Mesh, tmp_path: Path) -> None:
    """With an IKE daemon that says its name and does nothing."""
    daemon = tmp_path / "usr" / "sbin" / "ipsec"
    daemon.parent.mkdir(parents=True)
    (tmp_path / "etc" / "strongswan.d").mkdir(parents=True)
    daemon.write_text(IPSEC)
    daemon.chmod(0o755)
    argv = [str(MONITOR), mesh.ovs.db, f"--root-prefix={tmp_path}", "--ike-daemon=strongswan", "--pidfile"]
    directory = str(mesh.ovs.directory)
    environment = {**os.environ, "OVS_RUNDIR": directory, "OVS_LOGDIR": directory}
    with subprocess.Popen(["/usr/bin/python3", *argv], env=environment, stderr=subprocess.DEVNULL) as monitor:
        try:
            wait_until(lambda: problems(mesh) == [], 30, lambda: f"it is no problem: {problems(mesh)}")
            secrets, conf = tmp_path / "etc" / "ipsec.secrets", tmp_path / "etc" / "ipsec.conf"
            wait_until(lambda: "192.0.2.3" in conf.read_text(), 30, "it has read the tunnels")
            written = conf.read_text()
            assert "conn gre-c0000202-" in written and "right=192.0.2.2" in written and "authby=psk" in written
            known = [line for line in secrets.read_text().splitlines() if SECRET in line]
            assert [peer for line in known for peer in PAIR.values() if f"{peer} : PSK" in line] == [*PAIR.values()]
        finally:
            monitor.terminate()
    wait_until(lambda: problems(mesh), 30, "it is one again")


def test_certificates(mesh: Mesh) -> None:
    """The common name of each host's is its name; where this host's is, is in other_config."""
    files = {
        "ipsec_certificate": "/etc/t/cert.pem",
        "ipsec_private_key": "/etc/t/key.pem",
        "ipsec_ca_cert": "/etc/ca.pem",
    }
    agent = {"tunnel_encryption": "ipsec", **files}
    topology = {"connection": mesh.server.connection}
    mesh.tunbridge.write_config({"ovs": {"local_ip": LOCAL_IP}, "agent": agent, "topology": topology})
    mesh.tunbridge.restart()
    mesh.wait_tunnels({name: gre_to(ip, remote_name=f"h{ip[-1]}") for name, ip in PAIR.items()})
    row = mesh.ovs.vsctl("--format=json", "--columns=other_config", "list", "Open_vSwitch")
    other_config = dict(json.loads(row)["data"][0][0][1])
    assert {key: other_config[key] for key in ("certificate", "private_key", "ca_cert")} == {
        "certificate": "/etc/t/cert.pem",
        "private_key": "/etc/t/key.pem",
        "ca_cert": "/etc/ca.pem",
    }


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (
            {"ipsec_psk_file": "PSK", "tunnel_mode": "flow-based"},
            "[agent] tunnel_mode = 'flow-based': expected port-per-peer",
        ),
        ({}, "expected ipsec_psk_file, or ipsec_certificate"),
        ({"ipsec_psk_file": "PSK", "ipsec_ca_cert": "/etc/ca.pem"}, "and not both"),
        ({"ipsec_psk_file": "/nonexistent"}, "[agent] ipsec_psk_file: cannot use /nonexistent: No such file"),
        ({"ipsec_psk_file": "OPEN"}, "everybody on this machine has access to it"),
        ({"ipsec_psk_file": "SHORT"}, "it is no line of 16 to 255"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(ovs: OvsHost, tmp_path: Path, agent: dict[str, str], message: str) -> None:
    """Before anything is touched."""
    for name, text, mode in (("PSK", SECRET, 0o600), ("OPEN", SECRET, 0o644), ("SHORT", "short", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    given = {key: str(tmp_path / value) if value in ("PSK", "OPEN", "SHORT") else value for key, value in agent.items()}
    config = tmp_path / "tunbridge.conf"
    lines = [f"{key} = {value}" for key, value in {"tunnel_encryption": "ipsec", **given}.items()]
    paths = f"[DEFAULT]\nstate_path = {tmp_path}\nrun_path = {tmp_path}\n"
    where = f"[ovs]\novsdb_connection = {ovs.db}\nlocal_ip = {LOCAL_IP}\n[topology]\nconnection = unix:/nonexistent\n"
    config.write_text(paths + where + "[agent]\n" + "\n".join(lines) + "\n")
    program = [".venv/bin/python", "-m", "controller.cli.commands", "controller", "--config-file", str(config)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode not in (0, 70)
    assert message in ended.stderr and SECRET not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ovs.vsctl("list-br") == ""
