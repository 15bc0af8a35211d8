"""Frames from ports of a dummy datapath and to them, by unix sockets: whether a port's frames reach its neighbour.

A port with ``options:stream`` connects to a socket; what is written there it receives, and what it sends is read there,
each frame behind its length in two bytes (Open vSwitch's lib/netdev-dummy.c). Nobody asks ovs-vswitchd for anything.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.watch import Watcher

_UDP, _PORT = 17, 7
"""The frames are UDP to the port of the echo service."""


class FramePort:
    """The far end of a port: a listening socket until the port has connected, then that connection.

    :param path: of the socket
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._path = path
        self.sock = self._listener
        """The connection, once the port has connected."""
        self._is_connected = False
        self._buffer = b""
        self.seen: dict[int, float] = {}
        """Number of a frame → when it came first."""

    @property
    def column(self) -> str:
        """What ``ovs-vsctl set Interface`` is to be told."""
        return f"options:stream=unix:{self._path}"

    def accept(self) -> bool:
        """Whether the port has connected."""
        if not self._is_connected:
            self._listener.setblocking(False)
            with suppress(BlockingIOError):
                self.sock, _ = self._listener.accept()
                self.sock.setblocking(False)
                self._is_connected = True
        return self._is_connected

    def send(self, frame: bytes) -> None:
        """Have the port receive a frame, unless it takes none now."""
        with suppress(BlockingIOError):
            self.sock.send(struct.pack("!H", len(frame)) + frame)

    def feed(self, data: bytes, now: float) -> None:
        """Take in what the port sends; see :class:`bench.watch.Source`."""
        self._buffer += data
        while len(self._buffer) >= 2:
            (length,) = struct.unpack_from("!H", self._buffer)
            if len(self._buffer) < 2 + length:
                return
            frame, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            if frame[12:14] == b"\x08\x00" and frame[23] == _UDP and len(frame) >= 46:
                self.seen.setdefault(int.from_bytes(frame[42:46], "big"), now)

    def close(self) -> None:
        """No more of it."""
        for sock in {self._listener, self.sock}:
            sock.close()
        self._path.unlink(missing_ok=True)


def udp_frame(number: int, macs: Sequence[str], addresses: Sequence[str]) -> bytes:
    """A frame that says its number.

    :param macs: of the sender and the receiver
    :param addresses: IPv4, likewise
    """
    source_mac, destination_mac = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
    source, destination = (ipaddress.IPv4Address(address).packed for address in addresses)
    payload = number.to_bytes(4, "big") + bytes(14)
    datagram = struct.pack("!HHHH", 10_000, _PORT, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, _UDP, 0, source, destination)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    return destination_mac + source_mac + b"\x08\x00" + header[:10] + checksum + header[12:] + datagram


class FirstFrames:
    """Has new ports send to a neighbour, each again and again, until one frame of each has arrived.

    :param neighbour: which has connected, and is read by a :class:`Watcher`
    :param frames: number → the frame that a port is to send
    :param ports: number → the port
    :param interval: seconds between two frames of a port
    """

    def __init__(
        self, neighbour: FramePort, frames: Mapping[int, bytes], ports: Mapping[int, FramePort], interval: float
    ) -> None:
        self._neighbour, self._frames, self._ports, self._interval = neighbour, frames, ports, interval
        self._due = dict.fromkeys(frames, 0.0)
        for number in frames:
            neighbour.seen.pop(number, None)

    @property
    def are_all_there(self) -> bool:
        """Whether one of each has arrived."""
        return self._neighbour.seen.keys() >= self._frames.keys()

    def step(self) -> float:
        """Send what is due; seconds until there is more."""
        now = time.monotonic()
        for number in [number for number in self._due if number in self._neighbour.seen]:
            del self._due[number]
        for number, due in self._due.items():
            if due <= now:
                self._due[number] = now + self._interval
                if self._ports[number].accept():
                    self._ports[number].send(self._frames[number])
        return max(0.0, min(self._due.values(), default=now + 1.0) - time.monotonic())


def wait_connected(port: FramePort, watcher: Watcher, timeout: float) -> None:
    """Wait until a port has connected, and have it read.

    :raises TimeoutError: it has not in time
    """
    watcher.until(port.accept, timeout, "a port of the dummy datapath connects", lambda: 0.01)
    watcher.add(port)
