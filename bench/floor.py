"""The least that anybody can do who binds a port: what the times of the controller are measured against.

One process with raw sockets and no logic. When br-int tells of a port, it sends a bundle to each bridge and the tag to
the database; when all three are answered it opens the port, by a bundle that takes its drop flow away. There is no
topology, nothing is looked up or compared, and what can be made before is.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.flow import Flow, ModVlanVid, Normal, match
from bench.host import MeasuredHost, device, drop_cookie, flow_cookie
from controller.openflow.wire.bundles import bundle
from controller.openflow.wire.flow_messages import flow_mod
from scripts.processes import ChildProcess
from tests.support.host.ovs import OvsHost
from tests.support.waiting import wait_until

_BRIDGES = "br-int", "br-tun"
_HEADER = struct.Struct("!BBHI")
_ADD, _DELETE = ofp.OFPFC_ADD, ofp.OFPFC_DELETE_STRICT
_PORT_STATUS_ADD, _PORT_STATUS_DELETE, _EXPERIMENTER, _COMMIT_REPLY = 0, 1, 4, 5
_TAG = 2


def _bundle(first: int, *changes: tuple[int, Flow]) -> bytes:
    mods = (flow_mod(command, flow, first + 1 + at) for at, (command, flow) in enumerate(changes))
    return bundle(first, mods, open_xid=first, commit_xid=first + len(changes) + 1)


class _Wire:
    """A connection that is never waited for: of hundreds of ports at once the switch reads no more requests until its
    answers are read, which whoever waits for it does not do.

    :param sock: connected
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._unsent = bytearray()

    def send(self, data: bytes) -> None:
        """At once, as far as it goes, after what is unsent."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what is unsent, as far as it goes."""
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]

    @property
    def events(self) -> int:
        """Which of :mod:`selectors` have something to do."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)


class _Switch(_Wire):
    """What a bridge is told and asked, as far as it goes."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._buffer = b""
        self.send(_HEADER.pack(4, ofp.OFPT_HELLO, 8, 0) + _HEADER.pack(4, ofp.OFPT_FEATURES_REQUEST, 8, 0))

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, xid and body of what has come; echo requests are answered."""
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the switch is gone")
        self._buffer += data
        while len(self._buffer) >= 8:
            _, kind, length, xid = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[8:length], self._buffer[length:]
            if kind == ofp.OFPT_ECHO_REQUEST:
                self.send(_HEADER.pack(4, ofp.OFPT_ECHO_REPLY, length, xid) + body)
            else:
                yield kind, xid, body


class Floor:
    """The process.

    :param rundir: of the switch
    :param database: socket of its OVSDB
    :param ports: how many may be plugged, as of :func:`bench.host.device`
    """

    def __init__(self, rundir: Path, database: Path, ports: int) -> None:
        self._devices = {device(number).name: number for number in range(1, ports + 1)}
        self._waiting: dict[int, int] = {}
        """Number of a device → answers that are still to come."""
        self._ofports: dict[int, int] = {}
        self._names: dict[str, str] = {}
        self._text = ""
        self._first = [_bundle(16 * number, (_ADD, self._flow(number))) for number in range(ports + 1)]
        listeners = []
        for bridge in _BRIDGES:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(rundir / f"{bridge}.floor"))
            listener.listen()
            listeners.append(listener)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(database))
        self._database = _Wire(connection)
        monitor = ["Open_vSwitch", None, {"Port": {"columns": ["name"]}}]
        self._database.send(json.dumps({"method": "monitor", "params": monitor, "id": "ports"}).encode())
        self._integration, self._tunnel = (_Switch(listener.accept()[0]) for listener in listeners)

    @staticmethod
    def _flow(number: int) -> Flow:
        """``priority=30,tun_id=…,dl_dst=…,actions=mod_vlan_vid:2,NORMAL``"""
        one = device(number)
        return Flow(30, match(tun_id=number, dl_dst=one.mac), (ModVlanVid(_TAG), Normal()), flow_cookie(one), 20)

    def _drop(self, number: int, ofport: int) -> Flow:
        """``priority=30000,in_port=…,actions=drop``"""
        return Flow(30_000, match(in_port=ofport), (), drop_cookie(device(number)))

    def run(self) -> None:
        """Until it is ended."""
        readers = {
            self._integration: self._integration_said,
            self._tunnel: self._tunnel_said,
            self._database: self._database_said,
        }
        selector = selectors.DefaultSelector()
        for wire in readers:
            selector.register(wire.sock, wire.events, wire)
        while True:
            for key, events in selector.select():
                if events & selectors.EVENT_WRITE:
                    key.data.flush()
                if events & selectors.EVENT_READ:
                    readers[key.data]()
            for key in list(selector.get_map().values()):
                if key.events != key.data.events:
                    selector.modify(key.fileobj, key.data.events, key.data)

    def _integration_said(self) -> None:
        for kind, xid, body in self._integration.messages():
            if kind != ofp.OFPT_PORT_STATUS:
                self._answered(kind, xid, body)
                continue
            name = body[8 + 16 : 8 + 32].rstrip(b"\0").decode()
            number = self._devices.get(name)
            if number is not None and body[0] == _PORT_STATUS_ADD:
                self._plugged(number, name, int.from_bytes(body[8:12], "big"))
            elif number is not None and body[0] == _PORT_STATUS_DELETE:
                self._tunnel.send(_bundle(16 * number + 8, (_DELETE, self._flow(number))))

    def _tunnel_said(self) -> None:
        for kind, xid, body in self._tunnel.messages():
            self._answered(kind, xid, body)

    def _plugged(self, number: int, name: str, ofport: int) -> None:
        self._ofports[number], self._waiting[number] = ofport, 3
        self._tunnel.send(self._first[number])
        row = ["_uuid", "==", ["uuid", self._names[name]]] if name in self._names else ["name", "==", name]
        update = {"op": "update", "table": "Port", "where": [row], "row": {"tag": _TAG}}
        request = {"method": "transact", "params": ["Open_vSwitch", update], "id": number}
        self._database.send(json.dumps(request).encode())
        self._integration.send(_bundle(16 * number, (_ADD, self._drop(number, ofport))))

    def _answered(self, kind: int, xid: int, body: bytes) -> None:
        if kind == ofp.OFPT_ERROR:
            raise ConnectionError(f"the switch refuses: {body[:4].hex()}")
        if kind == _EXPERIMENTER and int.from_bytes(body[12:14], "big") == _COMMIT_REPLY and not xid & 8:
            self._done(xid // 16)

    def _done(self, number: int) -> None:
        self._waiting[number] -= 1
        if not self._waiting[number]:
            self._integration.send(_bundle(16 * number + 8, (_DELETE, self._drop(number, self._ofports[number]))))

    def _database_said(self) -> None:
        data = self._database.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the database is gone")
        self._text += data.decode()
        decoder, start = json.JSONDecoder(), 0
        while start < len(self._text):
            try:
                message, start = decoder.raw_decode(self._text, start)
            except ValueError:
                break
            self._message(message)
        self._text = self._text[start:]

    def _message(self, message: dict[str, Any]) -> None:
        if message.get("method") == "echo":
            reply = {"result": message["params"], "error": None, "id": message["id"]}
            self._database.send(json.dumps(reply).encode())
        elif isinstance(message.get("id"), int):
            self._done(message["id"])
        else:
            rows = message["result"] if message.get("id") == "ports" else message["params"][1]
            for row, update in rows.get("Port", {}).items():
                if "new" in update:
                    self._names[update["new"]["name"]] = row
                else:
                    self._names.pop(update["old"]["name"], None)


@contextmanager
def floor_host(ports: int) -> Iterator[MeasuredHost]:
    """A host on which the least is done, measured as one of the controller is."""
    with OvsHost() as ovs:
        for bridge in _BRIDGES:
            ovs.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, "fail_mode=secure")
        argv = [sys.executable, "-W", "ignore", __file__, str(ovs.rundir), str(ovs.db_sock), str(ports)]
        process = ChildProcess(argv, name="floor", log=ovs.directory / "floor.log", env=dict(os.environ))
        try:
            wait_until(lambda: (ovs.rundir / "br-tun.floor").exists(), 60, process.log_tail)
            for bridge in _BRIDGES:
                ovs.vsctl("set-controller", bridge, f"unix:{ovs.rundir / bridge}.floor")
            for bridge in _BRIDGES:
                ovs.vsctl("--timeout=60", "wait-until", "Controller", _controller(ovs, bridge), "is_connected=true")
            host = MeasuredHost(ovs, None, process.require_running)
            with host.watcher:
                yield host
            process.require_running()
        finally:
            process.stop()


def _controller(ovs: OvsHost, bridge: str) -> str:
    return ovs.vsctl("get", "Bridge", bridge, "controller").strip("[] \n")


if __name__ == "__main__":
    Floor(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).run()
