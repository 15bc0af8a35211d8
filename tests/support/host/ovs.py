"""A simulated host: a private, real Open vSwitch with the verbs that tests use."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from scripts.private_ovs import Datapath, PrivateOvs

_COOKIE = re.compile(r"cookie=0x[0-9a-f]+, ?")
_TABLE = re.compile(r"^table=(\d+)")
_PRIORITY = re.compile(r"\bpriority=(\d+)")
_DEFAULT_PRIORITY = 0x8000  # ovs-ofctl leaves it out (ovs-ofctl(8), "Flow Syntax")


@dataclass(frozen=True)
class Device:
    """An interface as a hypervisor plugs it: a port of br-int with the external_ids that say whose it is.

    :param name: at most 15 characters
    :param port_id: ``external_ids:iface-id``; None: a device that is nobody's
    :param mac: ``external_ids:attached-mac``; None: not told
    :param ofport_request: OpenFlow port number; None: Open vSwitch takes the next
    :param external_ids: more of them, or others in place of the two above
    """

    name: str
    port_id: str | None = None
    mac: str | None = None
    ofport_request: int | None = None
    external_ids: Mapping[str, str] = field(default_factory=dict)

    def plug_command(self, bridge: str, interface_type: str) -> list[str]:
        """Arguments of ovs-vsctl that plug it."""
        known = {"iface-id": self.port_id, "attached-mac": self.mac}
        ids = {key: value for key, value in known.items() if value is not None} | dict(self.external_ids)
        columns = [f"external_ids:{key}={json.dumps(value)}" for key, value in ids.items()]
        if interface_type:
            columns.append(f"type={interface_type}")
        if self.ofport_request is not None:
            columns.append(f"ofport_request={self.ofport_request}")
        command = ["--", "add-port", bridge, self.name]
        return [*command, "--", "set", "Interface", self.name, *columns] if columns else command


class OvsHost(PrivateOvs):
    """One host. As a context manager it stops all that it started and removes its directory, whatever happens.

    :param datapath: the dummy one needs no privileges; netdev wants a network namespace for each host
    """

    def __init__(self, datapath: Datapath = Datapath.DUMMY) -> None:
        # Not pytest's tmp_path, and not $TMPDIR: unix sockets have short paths only.
        super().__init__(Path(tempfile.mkdtemp(prefix="ovs-", dir="/tmp")), datapath)

    def __enter__(self) -> OvsHost:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory)

    # Devices

    def plug(
        self,
        device: str,
        port_id: str | None = None,
        mac: str | None = None,
        *,
        ofport_request: int | None = None,
        bridge: str = "br-int",
        **external_ids: str,
    ) -> int | None:
        """Plug one device; its ofport.

        :param external_ids: more of them, with ``_`` for ``-``, e.g. ``iface_status="active"``
        """
        ids = {key.replace("_", "-"): value for key, value in external_ids.items()}
        self.plug_many([Device(device, port_id, mac, ofport_request, ids)], bridge=bridge)
        return self.ofport(device)

    def plug_many(self, devices: Iterable[Device], bridge: str = "br-int") -> None:
        """Plug devices in one transaction, once the bridge is there; returns when ovs-vswitchd has made the ports."""
        interface_type = "internal" if self.datapath is Datapath.NETDEV else ""
        words = (word for device in devices for word in device.plug_command(bridge, interface_type))
        self.vsctl("wait-until", "Bridge", bridge, *words)

    def unplug(self, *devices: str, bridge: str = "br-int") -> None:
        """Unplug devices in one transaction; returns when ovs-vswitchd has removed the ports."""
        self.vsctl(*(word for device in devices for word in ("--", "del-port", bridge, device)))

    def ofport(self, device: str) -> int | None:
        """``Interface.ofport``: −1 when the port could not be made, None while it is not known."""
        return self._integer("Interface", device, "ofport")

    def tag(self, device: str) -> int | None:
        """``Port.tag``, None when it has none."""
        return self._integer("Port", device, "tag")

    def tags(self) -> dict[str, object]:
        """``Port.tag`` of all Ports by name; None: it has none."""
        listing = json.loads(self.vsctl("--format=json", "--columns=name,tag", "list", "Port"))
        return {name: plain(tag) for name, tag in listing["data"]}

    def port_versions(self) -> dict[str, object]:
        """Name of a Port → ``_version``, which ovsdb-server changes with every write to the row."""
        select = {"op": "select", "table": "Port", "where": [], "columns": ["name", "_version"]}
        transaction = json.dumps(["Open_vSwitch", select])
        (result,) = json.loads(self._command("ovsdb-client", "--timeout=60", "transact", self.db, transaction))
        return {row["name"]: plain(row["_version"]) for row in result["rows"]}

    def row(self, table: str, record: str) -> dict[str, object]:
        """All columns of one row; maps as dictionaries, sets of at most one value as that value or None."""
        listing = json.loads(self.vsctl("--format=json", "list", table, record))
        (values,) = listing["data"]
        return {name: plain(value) for name, value in zip(listing["headings"], values, strict=True)}

    def _integer(self, table: str, record: str, column: str) -> int | None:
        text = self.vsctl("get", table, record, column).strip()
        return None if text == "[]" else int(text)

    # Flows

    def trace(self, bridge: str, flow: str) -> str:
        """``ovs-appctl ofproto/trace BRIDGE FLOW``: what becomes of a frame."""
        return self.appctl("ofproto/trace", bridge, flow)

    def dump(self, bridge: str, *, cookies: bool = False) -> list[str]:
        """The flows of a bridge in ovs-ofctl syntax, in the order of :func:`apps.framework.render.render_table`."""
        listing = self.ofctl("--no-stats", "--no-names", "dump-flows", bridge).splitlines()
        lines = sorted((line.strip() for line in listing), key=_flow_order)
        return lines if cookies else [_COOKIE.sub("", line) for line in lines]

    # Accidents

    @contextmanager
    def frozen_vswitchd(self) -> Iterator[None]:
        """ovs-vswitchd hangs for the length of the block: its sockets stay open, and nobody answers on them."""
        assert self._vswitchd is not None, "ovs-vswitchd does not run"
        with _frozen(self._vswitchd.pid):
            yield

    @contextmanager
    def frozen_ovsdb_server(self) -> Iterator[None]:
        """ovsdb-server hangs for the length of the block; OpenFlow goes on."""
        assert self._server is not None, "ovsdb-server does not run"
        with _frozen(self._server.pid):
            yield

    def restart_vswitchd(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop ovs-vswitchd and start it again; flows are gone, ports keep their ofports."""
        self.stop_vswitchd(signum)
        self.start_vswitchd()

    def restart_ovsdb_server(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop ovsdb-server and start it again on the same database; ovs-vswitchd goes on meanwhile."""
        self.stop_ovsdb_server(signum)
        self.start_ovsdb_server()


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _flow_order(line: str) -> tuple[int, int, str]:
    """Table, then highest priority, then text without cookie."""
    text = _COOKIE.sub("", line)
    table, priority = _TABLE.search(text), _PRIORITY.search(text)
    return int(table[1]) if table else 0, -int(priority[1] if priority else _DEFAULT_PRIORITY), text


def plain(value: object) -> object:
    """An OVSDB value (RFC 7047 §5.1) as Python would have it."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "map":
            return {key: plain(item) for key, item in content}
        if kind == "set":
            items = [plain(item) for item in content]
            return items or None
        if kind in ("uuid", "named-uuid"):
            return content
    return value
