"""OVN beside a private Open vSwitch: its two databases, ovn-northd and ovn-controller, for ports to be bound by it.

Nothing is installed: where the machine has no OVN, Debian's packages are fetched and unpacked into a directory of the
user's. ``Ovn`` starts all of it, makes logical switches, and says when their ports are up::

    with OvsHost() as ovs, Ovn(ovs) as ovn:
        ovn.make_switch("net", [LogicalPort(port_id, mac_address, "10.0.0.5"), ...], secured=False)
        ovs.plug_many([Device(name, port_id, mac_address)])
        ovn.wait_up([port_id])
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.debian_packages import CACHE, PackagesMissing, unpacked
from bench.watch import TableWatch
from scripts.private_ovs import listens
from scripts.processes import ChildProcess, ProcessError
from tests.support.host.ovs import OvsHost

PACKAGES = ("ovn-common", "ovn-central", "ovn-host")
PROGRAMS = ("ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl")
CHASSIS = "host1"
TIMEOUT = 120.0
"""Seconds that anything of OVN may take."""

_LOGGING = ("-vconsole:info", "-vsyslog:off", "-vfile:off")
_IN_A_WORD = 500
"""Ports that one word of a command names."""

DROP_GROUP = "neutron_pg_drop"
"""The port group whose ACLs drop what no other accepts, as Neutron's ML2/OVN driver calls it."""
DEFAULT_GROUP = "pg_default"
"""The port group with the rules of a default security group."""


class OvnMissing(Exception):
    """OVN is neither on the machine nor to be had; the text says why."""


@dataclass(frozen=True)
class LogicalPort:
    """A port of a logical switch.

    :param name: as ``external_ids:iface-id`` of its interface has it
    :param mac_address: its Ethernet address
    :param address: its IPv4 address
    """

    name: str
    mac_address: str
    address: str

    @property
    def addresses(self) -> str:
        """What the columns ``addresses`` and ``port_security`` say."""
        return f"{self.mac_address} {self.address}"


@dataclass(frozen=True)
class OvnFiles:
    """Where OVN is.

    :param programs: the directory of its programs
    :param schemas: of its database schemas
    """

    programs: Path
    schemas: Path

    @property
    def version(self) -> str:
        """What ovn-controller says of itself: ``23.03.1``."""
        told = subprocess.run([self.programs / "ovn-controller", "--version"], capture_output=True, text=True)
        return told.stdout.split("\n")[0].rpartition(" ")[2]


def find_ovn() -> OvnFiles:
    """The machine's own OVN, or Debian's packages unpacked: fetched once, and kept in the user's cache.

    :raises OvnMissing: there is none, and none to be fetched
    """
    schemas = Path("/usr/share/ovn")
    on_path = [shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin") for name in PROGRAMS]
    if (schemas / "ovn-nb.ovsschema").exists() and all(on_path):
        return OvnFiles(Path(on_path[0] or "").parent, schemas)
    cache = CACHE / "ovn"
    try:
        unpacked(PACKAGES, cache)
    except PackagesMissing as error:
        raise OvnMissing(f"no OVN here: {error}") from None
    found = OvnFiles(cache / "usr" / "bin", cache / "usr" / "share" / "ovn")
    if not all((found.programs / name).exists() for name in PROGRAMS):
        raise OvnMissing(f"{cache} has not all of {', '.join(PROGRAMS)}; remove it to have it fetched again")
    return found


class Ovn:
    """One host of OVN. As a context manager it starts everything, and stops it.

    :param ovs: the switch, which runs; br-int is made where it is not there
    :param files: where OVN is; None: where :func:`find_ovn` finds it
    :raises OvnMissing: there is no OVN
    """

    def __init__(self, ovs: OvsHost, files: OvnFiles | None = None) -> None:
        self.files = files or find_ovn()
        self._ovs = ovs
        self._directory = ovs.directory
        self._env = os.environ | {
            f"{kind}_{name}": str(self._directory) for kind in ("OVN", "OVS") for name in ("RUNDIR", "LOGDIR", "DBDIR")
        }
        self._stack = ExitStack()
        self._processes: dict[str, ChildProcess] = {}

    def __enter__(self) -> Ovn:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        for name in ("nb", "sb"):
            database = self._directory / f"ovn{name}.db"
            _checked(["ovsdb-tool", "create", str(database), str(self.files.schemas / f"ovn-{name}.ovsschema")])
            server = ["ovsdb-server", str(database), f"--remote=punix:{self._socket(name)}"]
            self._spawn(f"ovsdb-server-{name}", [*server, f"--unixctl={self._directory / name}.ctl"])
            wait_for(lambda name=name: listens(self._socket(name)), f"ovsdb-server of {database.name}")  # type: ignore[misc]
        self.nbctl("init")
        self._sbctl("init")
        self._ovs.vsctl(
            *("set", "Open_vSwitch", ".", f"external_ids:system-id={CHASSIS}", f"external_ids:hostname={CHASSIS}"),
            *(f"external_ids:ovn-remote=unix:{self._socket('sb')}", "external_ids:ovn-encap-type=geneve"),
            *("external_ids:ovn-encap-ip=127.0.0.1", "--", "--may-exist", "add-br", "br-int"),
            *("--", "set", "Bridge", "br-int", "fail_mode=secure"),
        )
        databases = [f"--ovn{name}-db=unix:{self._socket(name)}" for name in ("nb", "sb")]
        self._spawn("ovn-northd", [str(self.files.programs / "ovn-northd"), *databases])
        self._spawn("ovn-controller", [str(self.files.programs / "ovn-controller"), self._ovs.db])
        self._sbctl("wait-until", "Chassis", CHASSIS)

    def _spawn(self, name: str, argv: list[str]) -> None:
        process = ChildProcess([*argv, *_LOGGING], name=name, log=self._directory / f"{name}.log", env=self._env)
        self._stack.callback(process.stop)
        self._processes[name] = process

    def _socket(self, name: str) -> Path:
        return self._directory / f"ovn{name}.sock"

    # Asking

    @property
    def controller_pid(self) -> int:
        """Process id of ovn-controller."""
        return self._processes["ovn-controller"].pid

    @property
    def central_pids(self) -> tuple[int, ...]:
        """Process ids of what a cloud has once: ovn-northd and the two databases."""
        return tuple(process.pid for name, process in self._processes.items() if name != "ovn-controller")

    def watch_up(self) -> TableWatch:
        """When ``up`` of a logical switch port changes, by name: what Neutron calls ACTIVE."""
        return TableWatch(self._socket("nb"), "OVN_Northbound", "Logical_Switch_Port", "name", "up")

    def nbctl(self, *args: str) -> str:
        """``ovn-nbctl``: its output.

        :raises ProcessError: it failed
        """
        return self._ctl("nb", *args)

    def _sbctl(self, *args: str) -> str:
        return self._ctl("sb", *args)

    def _ctl(self, name: str, *args: str) -> str:
        for process in self._processes.values():
            process.require_running()
        program = str(self.files.programs / f"ovn-{name}ctl")
        return _checked([program, f"--db=unix:{self._socket(name)}", f"--timeout={TIMEOUT:.0f}", *args])

    # Logical switches

    def make_switch(self, name: str, ports: Iterable[LogicalPort], *, secured: bool = False) -> None:
        """Make a switch with ports; returns when the host knows of them, as far as it has to.

        :param secured: with port security, and in the default group (:meth:`make_default_group` was called)
        """
        self.nbctl("--may-exist", "ls-add", name)
        self.add_ports(name, list(ports), secured=secured)
        self.sync()

    def add_ports(self, switch: str, ports: Sequence[LogicalPort], *, secured: bool = False) -> None:
        """More ports, in one transaction, without waiting for anything."""
        words: list[str] = []
        for number, port in enumerate(ports):
            addresses = json.dumps(port.addresses)
            words += ["--", f"--id=@p{number}", "create", "Logical_Switch_Port", f"name={port.name}"]
            words += [f"addresses={addresses}", *([f"port_security={addresses}"] if secured else [])]
        for first in range(0, len(ports), _IN_A_WORD):
            made = ",".join(f"@p{number}" for number in range(first, min(first + _IN_A_WORD, len(ports))))
            words += ["--", "add", "Logical_Switch", switch, "ports", made]
            for group in (DROP_GROUP, DEFAULT_GROUP) if secured else ():
                words += ["--", "add", "Port_Group", group, "ports", made]
        if ports:
            self.nbctl(*words)

    def delete_ports(self, names: Iterable[str]) -> None:
        """Remove ports, without waiting for anything."""
        self.nbctl(*(word for name in names for word in ("--", "lsp-del", name)))

    def make_default_group(self) -> None:
        """The port groups that Neutron's ML2/OVN driver makes of a default security group, with the same ACLs."""
        groups: dict[str, list[tuple[str, str, str, str]]] = {
            DROP_GROUP: [
                ("from-lport", "1001", f"inport == @{DROP_GROUP} && ip", "drop"),
                ("to-lport", "1001", f"outport == @{DROP_GROUP} && ip", "drop"),
            ],
            DEFAULT_GROUP: [],
        }
        for version in ("ip4", "ip6"):
            out, into = f"inport == @{DEFAULT_GROUP} && {version}", f"outport == @{DEFAULT_GROUP} && {version}"
            members = f"{version}.src == ${DEFAULT_GROUP}_{version}"
            groups[DEFAULT_GROUP] += [
                ("from-lport", "1002", out, "allow-related"),
                ("to-lport", "1002", f"{into} && {members}", "allow-related"),
            ]
        for group, acls in groups.items():
            self.nbctl("pg-add", group)
            for acl in acls:
                self.nbctl("--type=port-group", "acl-add", group, *acl)

    # Waiting

    def sync(self) -> None:
        """Wait until the host has done all that was asked for so far (``ovn-nbctl --wait=hv sync``)."""
        self.nbctl("--wait=hv", "sync")

    def wait_up(self, names: Iterable[str], *, up: bool = True) -> None:
        """Wait until ports are up, or down.

        :raises TimeoutError: they were not in time
        """
        left = set(names)

        def are_all() -> bool:
            told = self.nbctl("--bare", "--columns=name", "find", "Logical_Switch_Port", f"up={str(up).lower()}")
            return left <= set(told.split())

        wait_for(are_all, f"{len(left)} ports of OVN {'up' if up else 'down'}")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Ask until it holds.

    :raises TimeoutError: naming ``what`` did not hold in time
    """
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {TIMEOUT:g} s")
        time.sleep(0.02)


def _checked(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=2 * TIMEOUT)
    if done.returncode:
        raise ProcessError(f"{' '.join(argv)[:400]}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
