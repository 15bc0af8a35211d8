"""A real Neutron: its API server under uWSGI with ML2, on a MariaDB of its own, to be asked in turns with ours.

    python bench/neutron.py      # puts it into ~/.cache/tunbridge-bench/neutron in some two minutes, unless it is there

Nothing is installed: Neutron has a virtual environment there, MariaDB is Debian's packages unpacked, and beside them
lies a data directory with Neutron's tables, of which each run has a copy. Nobody authenticates (``noauth``), there is
no message bus (``fake://``) and no agent, and MariaDB does not wait for the disk: all of it is in its favour.

Networks and ports beyond the first are written into its database, copies of that one with other names and addresses:
asked for by requests, 10,000 ports would take half an hour.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.debian_packages import CACHE, PackagesMissing, failure, unpacked
from scripts.private_ovs import listens
from scripts.processes import ChildProcess, ProcessError
from tests.support.host.tunbridge import free_tcp_port
from tests.support.waiting import wait_until

REQUIREMENTS = ("neutron>=29,<30", "pymysql", "pyuwsgi")
PACKAGES = ("mariadb-server-core", "libaio1", "libnuma1", "liburing2")
WORKERS = max(2, os.cpu_count() or 2)
"""Processes that serve its API: one for each core, as Neutron has it by itself."""

_TIMEOUT = 120.0  # seconds
_CONFIG = """\
[DEFAULT]
core_plugin = ml2
service_plugins =
auth_strategy = noauth
transport_url = fake://
api_paste_config = {venv}/etc/neutron/api-paste.ini
state_path = {directory}
dhcp_agent_notification = false
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[database]
connection = mysql+pymysql://root@localhost/neutron?unix_socket={directory}/mariadb.sock
[ml2]
type_drivers = vxlan
tenant_network_types = vxlan
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_vxlan]
vni_ranges = 1:10000
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
[oslo_concurrency]
lock_path = {directory}
"""
_SQL = """\
import sys, pymysql
connection = pymysql.connect(unix_socket=sys.argv[1], user="root", database=sys.argv[2] or None, autocommit=True)
for statement in sys.stdin.read().split(";"):
    if statement.strip():
        connection.cursor().execute(statement)
"""


class NeutronMissing(Exception):
    """There is no Neutron; the text says why."""


def _uuid(name: str, number: str) -> str:
    """SQL of a UUID that follows from a name and a number, spread as random ones are."""
    text = f"MD5(CONCAT('{name}', {number}))"
    for place in (21, 17, 13, 9):
        text = f"INSERT({text}, {place}, 0, '-')"
    return text


_NETWORK = "IF(seq % @networks, {}, @network)".format(_uuid("network", "seq % @networks"))
_SUBNET = "IF(seq % @networks, {}, @subnet)".format(_uuid("subnet", "seq % @networks"))
_IPAM_SUBNET = "IF(seq % @networks, {}, @ipam_subnet)".format(_uuid("ipam", "seq % @networks"))
_PLACE = "seq DIV @networks + 100"
_ADDRESS = f"CONCAT('10.0.', ({_PLACE}) DIV 256, '.', ({_PLACE}) MOD 256)"
_BYTES = ", ".join(f"LPAD(HEX(seq DIV {256**at} MOD 256), 2, 0)" for at in (3, 2, 1, 0))
_MAC = f"LOWER(CONCAT_WS(':', 'fa:17', {_BYTES}))"
_SAME = ""
_STAMPS = ("resource_type", "created_at", "updated_at", "description", "revision_number")
Copies = Mapping[str, tuple[str, Mapping[str, str]]]
"""Table → which row of it is copied, and its columns: what they are in copy number ``seq``, or as in that row."""

_NETWORK_COPIES: Copies = {
    "standardattributes": (
        "resource_type IN ('networks', 'networksegments', 'subnets')",
        {
            "id": "@attributes + 3 * seq + FIELD(resource_type, 'networks', 'networksegments', 'subnets')",
            **dict.fromkeys(_STAMPS, _SAME),
        },
    ),
    "networks": (
        "id = @network",
        {
            "id": _NETWORK, "name": "CONCAT('net', seq)", "standard_attr_id": "@attributes + 3 * seq + 1",
            **dict.fromkeys(("project_id", "status", "admin_state_up", "mtu"), _SAME),
        },
    ),
    "networksecuritybindings": ("network_id = @network", {"network_id": _NETWORK, "port_security_enabled": _SAME}),
    "networksegments": (
        "network_id = @network",
        {
            "id": _uuid("segment", "seq"), "network_id": _NETWORK, "segmentation_id": "20000 + seq",
            "standard_attr_id": "@attributes + 3 * seq + 2",
            **dict.fromkeys(("network_type", "is_dynamic", "segment_index"), _SAME),
        },
    ),
    "subnets": (
        "id = @subnet",
        {
            "id": _SUBNET, "network_id": _NETWORK, "standard_attr_id": "@attributes + 3 * seq + 3",
            **dict.fromkeys(("project_id", "name", "ip_version", "cidr", "gateway_ip", "enable_dhcp"), _SAME),
        },
    ),
    "network_subnet_lock": ("network_id = @network", {"network_id": _NETWORK, "subnet_id": _SUBNET}),
    "ipallocationpools": (
        "subnet_id = @subnet",
        {"id": _uuid("pool", "seq"), "subnet_id": _SUBNET, "first_ip": _SAME, "last_ip": _SAME},
    ),
    "ipamsubnets": ("id = @ipam_subnet", {"id": _IPAM_SUBNET, "neutron_subnet_id": _SUBNET}),
    "ipamallocationpools": (
        "ipam_subnet_id = @ipam_subnet",
        {"id": _uuid("ipampool", "seq"), "ipam_subnet_id": _IPAM_SUBNET, "first_ip": _SAME, "last_ip": _SAME},
    ),
}  # fmt: skip
_PORT = _uuid("port", "seq")
_PORT_COPIES: Copies = {
    "standardattributes": (
        "resource_type = 'ports'",
        {
            "id": "@attributes + 1 + seq",
            **dict.fromkeys(_STAMPS, _SAME),
        },
    ),
    "ports": (
        "id = @port",
        {
            "id": _PORT, "name": "CONCAT('p', seq)", "device_id": "CONCAT('d', seq)", "network_id": _NETWORK,
            "mac_address": _MAC, "standard_attr_id": "@attributes + 1 + seq",
            **dict.fromkeys(("project_id", "admin_state_up", "status", "device_owner"), _SAME),
        },
    ),
    "portsecuritybindings": ("port_id = @port", {"port_id": _PORT, "port_security_enabled": _SAME}),
    "securitygroupportbindings": ("port_id = @port", {"port_id": _PORT, "security_group_id": _SAME}),
    "ml2_port_bindings": (
        "port_id = @port",
        {
            "port_id": _PORT,
            **dict.fromkeys(("host", "vif_type", "vnic_type", "profile", "vif_details", "status"), _SAME),
        },
    ),
    "ipallocations": (
        "port_id = @port",
        {"port_id": _PORT, "ip_address": _ADDRESS, "subnet_id": _SUBNET, "network_id": _NETWORK},
    ),
    "ipamallocations": (
        "ipam_subnet_id = @ipam_subnet",
        {"ip_address": _ADDRESS, "status": _SAME, "ipam_subnet_id": _IPAM_SUBNET},
    ),
}  # fmt: skip


def _copies(tables: Copies, first: int, number: int) -> Iterator[str]:
    """SQL, of the numbers from the first on.

    ``INSERT INTO ipamsubnets (id, neutron_subnet_id) SELECT …, … FROM ipamsubnets, seq_1_to_199 WHERE id = …``
    """
    if number <= first:
        return
    for table, (which, columns) in tables.items():
        values = ", ".join(value or f"{table}.{name}" for name, value in columns.items())
        numbers = f"seq_{first}_to_{number - 1}"
        yield f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}, {numbers} WHERE {which}"


def find_neutron(*, make: bool = False) -> Path:
    """The directory that has Neutron, MariaDB and its tables.

    :param make: it is made where it is not there
    :raises NeutronMissing: it is not there, or cannot be made
    """
    directory = CACHE / "neutron"
    if not (directory / "complete").exists():
        if not make:
            raise NeutronMissing(f"no Neutron in {directory}: `python bench/neutron.py` puts it there")
        shutil.rmtree(directory, ignore_errors=True)
        _make(directory)
        (directory / "complete").touch()
    return directory


def _make(directory: Path) -> None:
    directory.mkdir(parents=True)
    venv = directory / "venv"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", *REQUIREMENTS]
    for argv in ([sys.executable, "-m", "venv", str(venv)], pip):
        if said := failure(argv, directory):
            raise NeutronMissing(f"{' '.join(argv)}: {said.splitlines()[-1]}")
    try:
        unpacked(PACKAGES, directory / "mariadb")
    except PackagesMissing as error:
        raise NeutronMissing(f"no MariaDB for Neutron: {error}") from None
    (directory / "data").mkdir()
    with _mariadb(directory, directory / "data", directory) as socket:
        _sql(directory, socket, "CREATE DATABASE neutron CHARACTER SET utf8mb3", "")
        _configure(directory, directory)
        migrate = [str(venv / "bin" / "neutron-db-manage"), "--config-file", "neutron.conf", "upgrade", "heads"]
        if said := failure(migrate, directory):
            raise NeutronMissing(f"neutron-db-manage: {said.splitlines()[-1]}")


def _configure(files: Path, directory: Path) -> None:
    (directory / "neutron.conf").write_text(_CONFIG.format(venv=files / "venv", directory=directory))


@contextmanager
def _mariadb(files: Path, data: Path, directory: Path) -> Iterator[Path]:
    """A server; its socket."""
    root, socket = files / "mariadb" / "usr", directory / "mariadb.sock"
    libraries = ":".join(sorted({str(found.parent) for found in (files / "mariadb").rglob("lib*.so.*")}))
    process = ChildProcess(
        [
            str(root / "sbin" / "mariadbd"), "--no-defaults", f"--basedir={root}", f"--datadir={data}",
            f"--socket={socket}", f"--pid-file={directory}/mariadb.pid", "--skip-grant-tables", "--skip-networking",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=256M",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ],
        log=directory / "mariadb.log",
        env=os.environ | {"LD_LIBRARY_PATH": libraries},
    )  # fmt: skip
    try:
        wait_until(lambda: process.require_running() or listens(socket), _TIMEOUT, "MariaDB answers")
        yield socket
    finally:
        process.stop()


def _sql(files: Path, socket: Path, statements: str, database: str = "neutron") -> None:
    argv = [str(files / "venv" / "bin" / "python"), "-c", _SQL, str(socket), database]
    done = subprocess.run(argv, input=statements, capture_output=True, text=True)
    if done.returncode:
        raise ProcessError(f"MariaDB: {done.stderr.strip().splitlines()[-1]}")


class Neutron:
    """Its API server, with so many networks and ports; as a context manager it is started and stopped.

    :param ports: on the networks in turn
    :raises NeutronMissing: there is none
    """

    def __init__(self, ports: int, networks: int) -> None:
        self.port = free_tcp_port()
        self.network_ids: list[str] = []
        self._files = find_neutron()
        self._ports, self._networks = ports, networks
        self._stack = ExitStack()

    def __enter__(self) -> Neutron:
        with ExitStack() as stack:
            self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neutron-")))
            shutil.copytree(self._files / "data", self._directory / "data")
            self._socket = stack.enter_context(_mariadb(self._files, self._directory / "data", self._directory))
            self._process = self._serve()
            stack.callback(self._process.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self) -> ChildProcess:
        _configure(self._files, self._directory)
        venv = self._files / "venv"
        files = {"OS_NEUTRON_CONFIG_DIR": str(self._directory), "OS_NEUTRON_CONFIG_FILES": "neutron.conf"}
        return ChildProcess(
            [
                str(venv / "bin" / "uwsgi"), "--http-socket", f"127.0.0.1:{self.port}", "--virtualenv", str(venv),
                "--module", "neutron.wsgi.api:application", "--master", "--processes", str(WORKERS), "--lazy-apps",
                "--need-app", "--enable-threads", "--thunder-lock", "--buffer-size", "65535", "--die-on-term",
                "--disable-logging", "--no-orphans",
            ],
            name="neutron",
            log=self._directory / "neutron.log",
            env=os.environ | files,
        )  # fmt: skip

    def fill(self) -> None:
        """Wait until it answers, and make all networks and ports."""
        log = self._directory / "neutron.log"

        def is_ready() -> bool:
            self._process.require_running()
            return log.read_text(errors="replace").count("ready in") >= WORKERS

        wait_until(is_ready, _TIMEOUT, "Neutron answers")
        network = self.ask("POST", "/networks", {"network": {"name": "net0"}})["network"]["id"]
        subnet = {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
        subnet_id = self.ask("POST", "/subnets", {"subnet": subnet})["subnet"]["id"]
        address = {"subnet_id": subnet_id, "ip_address": "10.0.0.9"}  # of its own choice it might be that of a copy
        body = {"port": {"network_id": network, "name": "p", "device_id": "d", "fixed_ips": [address]}}
        port = self.ask("POST", "/ports", body)["port"]["id"]
        attributes = "SET @attributes = (SELECT MAX(id) FROM standardattributes)"
        statements = [
            f"SET @network = '{network}', @subnet = '{subnet_id}', @port = '{port}', @networks = {self._networks}",
            f"SET @ipam_subnet = (SELECT id FROM ipamsubnets WHERE neutron_subnet_id = '{subnet_id}')",
            attributes, *_copies(_NETWORK_COPIES, 1, self._networks),
            attributes, *_copies(_PORT_COPIES, 0, self._ports),
        ]  # fmt: skip
        _sql(self._files, self._socket, ";\n".join(statements))
        self.ask("DELETE", f"/ports/{port}")
        self.network_ids = [one["id"] for one in self.ask("GET", "/networks?fields=id")["networks"]]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request.

        :raises ProcessError: it is refused
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT)
        raw = None if body is None else json.dumps(body)
        connection.request(method, f"/v2.0{path}", raw, {"Content-Type": "application/json"} if raw else {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise ProcessError(f"Neutron: {method} {path}: {answer.status} {text.decode()[:400]}")
        return json.loads(text) if text else None


def main() -> int:
    """Make it, and see that it answers."""
    try:
        find_neutron(make=True)
        with Neutron(20, 2) as neutron:
            neutron.fill()
            found = len(neutron.ask("GET", "/ports?fields=id")["ports"])
    except (NeutronMissing, ProcessError) as error:
        print(f"neutron: {error}", file=sys.stderr)
        return 1
    print(f"{CACHE / 'neutron'}: {found} ports")
    return 0 if found == 20 else 1


if __name__ == "__main__":
    sys.exit(main())
