"""A switch of Python that behaves until it is told not to: it stops to read, or sends what a test likes.

It stands behind a bridge that the local OVSDB has and ovs-vswitchd cannot make, so no real one is in its place.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply

BRIDGE = "br-ex"
DATAPATH_ID = 0xEE
ERROR, ECHO_REQUEST, EXPERIMENTER, FEATURES_REQUEST, MULTIPART_REQUEST, MULTIPART_REPLY = 1, 2, 4, 5, 18, 19
DESC, FLOW, PORT_DESC, MULTIPART_EXPERIMENTER = 0, 1, 13, 0xFFFF
BUNDLE_CONTROL, BUNDLE_ADD, COMMIT_REQUEST = 2300, 2301, 4


def add_bridge(ovs: OvsHost) -> None:
    """Give the local OVSDB a bridge of a datapath type that there is not."""
    ovs.vsctl(
        *("--no-wait", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=none", "fail_mode=secure"),
        *("protocols=OpenFlow13", f'datapath_id="{DATAPATH_ID:016x}"'),
    )


def port(number: int, name: bytes) -> bytes:
    """ofp_port."""
    return struct.pack("!I4x6s2x16s32x", number, b"\2\0" + number.to_bytes(4, "big"), name)


class Switch:
    """Connects to a controller and answers it, in a thread of its own; as a context manager it is closed at the end.

    :param serial: what it says that its serial number is
    :param ports: ofp_port of each of its ports; None: it never tells them
    :param flows: ofp_flow_stats of each of its flows
    :param commits: False: it hangs when it has taken a whole bundle, and is asked to commit it
    """

    def __init__(
        self,
        of_port: int,
        serial: str,
        ports: Iterable[bytes] | None = (),
        flows: Iterable[bytes] = (),
        *,
        commits: bool = True,
    ) -> None:
        self._commits = commits
        self._serial = serial
        self._ports, self._flows = None if ports is None else list(ports), list(flows)
        self._socket = socket.create_connection(("127.0.0.1", of_port), timeout=60)
        self._socket.settimeout(None)
        self.name = "{}:{}".format(*self._socket.getsockname())
        """What the controller's log calls it."""
        self.commits = 0
        """Bundles that it has applied."""
        self.bundled = 0
        """Messages in them."""
        self._behaves = threading.Event()
        self._behaves.set()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Switch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._behaves.set()
        self._thread.join(60)
        self._socket.close()
        assert not self._thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether the controller has closed the connection; of one that does not read it is not known."""
        return not self._thread.is_alive()

    def hang(self) -> None:
        """Read no more; the connection stays."""
        self._behaves.clear()

    def recover(self) -> None:
        """Read on, and answer all that has come meanwhile."""
        self._behaves.set()

    def send(self, data: bytes) -> bool:
        """Say something unasked; False when the connection is over."""
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            return False
        return True

    def _serve(self) -> None:
        buffer = b""
        self.send(HELLO)
        with suppress(OSError):
            while True:
                self._behaves.wait()
                data = self._socket.recv(65536)
                if not data:
                    return
                buffer += data
                while len(buffer) >= 8 and len(buffer) >= (length := int.from_bytes(buffer[2:4], "big")):
                    self._behaves.wait()
                    self._answer(buffer[:length])
                    buffer = buffer[length:]

    def _answer(self, message: bytes) -> None:
        kind, xid = message[1], int.from_bytes(message[4:8], "big")
        if kind == ECHO_REQUEST:
            self.send(message_bytes(3, message[8:], xid))
        elif kind == FEATURES_REQUEST:
            self.send(features_reply(DATAPATH_ID)[:4] + message[4:8] + features_reply(DATAPATH_ID)[8:])
        elif kind == MULTIPART_REQUEST:
            self._multipart(int.from_bytes(message[8:10], "big"), xid)
        elif kind == EXPERIMENTER:
            _, what, bundle, control, flags = struct.unpack_from("!IIIHH", message, 8)
            if what == BUNDLE_ADD:
                self.bundled += 1
            elif what == BUNDLE_CONTROL:
                if control == COMMIT_REQUEST:
                    if not self._commits:
                        self.hang()
                        return
                    self.commits += 1
                reply = struct.pack("!IIIHH", 0x4F4E4600, BUNDLE_CONTROL, bundle, control + 1, flags)
                self.send(message_bytes(EXPERIMENTER, reply, xid))

    def _multipart(self, kind: int, xid: int) -> None:
        if kind == DESC:
            self.send(desc_reply(self._serial, xid))
        elif kind in (FLOW, PORT_DESC):
            for more, part in _parts(self._flows if kind == FLOW else self._ports):
                self.send(message_bytes(MULTIPART_REPLY, struct.pack("!HH4x", kind, more) + part, xid))
        else:
            self.send(message_bytes(ERROR, struct.pack("!HH", 1, 2), xid))  # OFPBRC_BAD_MULTIPART


def _parts(entries: list[bytes] | None) -> Iterable[tuple[bool, bytes]]:
    """Bodies of replies of at most 64 KiB, each with whether another one follows; none for None."""
    if entries is None:
        return
    parts, size = [[]], 0  # type: list[list[bytes]], int
    for entry in entries:
        if size + len(entry) > 60_000:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += len(entry)
    for place, part in enumerate(parts, start=1):
        yield place < len(parts), b"".join(part)


def flooding(switch: Switch, make: Callable[[int], bytes]) -> Callable[[], None]:
    """Let a switch send as fast as it can; call what is returned to end that."""
    done = threading.Event()
    chunk = b"".join(make(number) for number in range(5000))

    def flood() -> None:
        while not done.is_set() and switch.send(chunk):
            pass

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()

    def stop() -> None:
        done.set()
        thread.join(60)
        assert not thread.is_alive()

    return stop
