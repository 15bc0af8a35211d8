"""A raw OpenFlow peer: says to the controller what a test wants said, right or wrong, over a TCP connection."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import cast

from tests.support.openflow.openflow import message_bytes

OFPT_HELLO, OFPT_FEATURES_REPLY, OFPT_MULTIPART_REPLY = 0, 6, 19
HELLO = message_bytes(OFPT_HELLO)
"""HELLO of a peer that speaks everything up to OpenFlow 1.3, as switches without a version bitmap send it."""


def features_reply(datapath_id: int, auxiliary_id: int = 0) -> bytes:
    """OFPT_FEATURES_REPLY (OpenFlow 1.3.5 §7.3.1)."""
    return message_bytes(OFPT_FEATURES_REPLY, struct.pack("!QIBB2xII", datapath_id, 0, 254, auxiliary_id, 0, 0))


def desc_reply(serial_num: str, xid: int) -> bytes:
    """OFPMP_DESC reply (§7.3.5.1)."""
    body = struct.pack("!HH4x768x32s256x", 0, 0, serial_num.encode())
    return message_bytes(OFPT_MULTIPART_REPLY, body, xid)


class OpenFlowPeer:
    """One connection to the controller's OpenFlow port; as a context manager it is closed at the end.

    :param port: TCP port on 127.0.0.1
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._reader = self._socket.dup()  # a socket with a timeout waits for bytes, whatever the flags of recv() say
        self._reader.setblocking(False)
        address = cast(tuple[str, int], self._socket.getsockname())
        self.name = f"{address[0]}:{address[1]}"
        """What the controller's log calls it."""

    def __enter__(self) -> OpenFlowPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()
        self._socket.close()

    def send(self, data: bytes) -> bool:
        """Send; False when the controller has closed the connection."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def drain(self) -> bool:
        """Take all that the controller has sent so far; False when it has closed the connection."""
        try:
            while data := self._reader.recv(65536):
                del data
        except BlockingIOError:
            return True
        except ConnectionResetError:
            pass
        return False
