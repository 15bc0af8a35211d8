"""The process of a :class:`tests.support.lab.probe.Probe`: sends numbered frames and counts them where they arrive.

It is a process of its own so that nothing that a test does holds it up, and one for all streams, so that it is cheap.
Frame n of each stream is due n intervals after the start: a process that was kept waiting sends all that is due at
once, and their number is right in the end. The kernel notes when a frame arrived, so it does not matter when it is
read. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tests.support.lab.frames import EXPERIMENTAL, IPV4
from tests.support.lab.netns import Namespace

HEADER = struct.Struct("!8sHQ")
"""Token of the probe, number of the stream, number of the frame."""
PAYLOAD = 46  # bytes, what Ethernet wants at least

_ROOM = 64 * 1024 * 1024  # bytes
_DRAIN_INTERVAL = 20_000_000  # ns
_QUIET = 300_000_000  # ns without a frame after which none is under way any more
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # <asm/socket.h>
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # <linux/if_packet.h>
_MANY = 250  # copies of one frame are counted up to here


class Arrivals:
    """What one VM got of one stream."""

    def __init__(self) -> None:
        self.copies = bytearray()
        self.received = 0
        self.reordered = 0
        self.gap = 0  # ns
        self._highest = -1
        self._last = 0

    def add(self, number: int, at: int) -> None:
        if number >= len(self.copies):
            self.copies.extend(bytes(number + 1024 - len(self.copies)))
        if self.copies[number] < _MANY:
            self.copies[number] += 1
        if number < self._highest:
            self.reordered += 1
        self._highest = max(self._highest, number)
        if self.received:
            self.gap = max(self.gap, at - self._last)
        self._last = at
        self.received += 1

    def summary(self, sent: int) -> dict[str, Any]:
        copies = self.copies[:sent].ljust(sent, b"\0")
        lost: list[tuple[int, int]] = []  # first number, how many
        position = copies.find(0)
        while position >= 0:
            end = position
            while end < sent and not copies[end]:
                end += 1
            lost.append((position, end - position))
            position = copies.find(0, end)
        arrived = sent - copies.count(0)
        duplicated = self.received - arrived
        return {
            "arrived": arrived, "duplicated": duplicated, "reordered": self.reordered,
            "gap_ns": self.gap, "lost": lost,
        }  # fmt: skip


class Prober:
    """Sends and counts, until it is told to stop.

    :param spec: see :meth:`tests.support.lab.probe.Probe.start`
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.interval: int = spec["interval_ns"]
        self.token = bytes.fromhex(spec["token"])
        self.device: str = spec["device"]
        self.sent = 0
        self.pause = 0  # ns, the longest between two rounds
        self.overrun = 0
        self._streams = []
        self._arrivals: dict[tuple[int, str], Arrivals] = {}
        for number, stream in enumerate(spec["streams"]):
            sender = self._open(stream["namespace"], 0)
            destination, source = (bytes.fromhex(stream[key].replace(":", "")) for key in ("destination", "source"))
            header = bytes.fromhex(stream["header"])
            start = destination + source + struct.pack("!H", IPV4 if header else EXPERIMENTAL) + header
            self._streams.append((sender, start, number))
            for name in stream["receivers"]:
                self._arrivals[number, name] = Arrivals()
        offsets = {len(stream["header"]) // 2 for stream in spec["streams"]}
        self._receivers = {
            name: [
                (self._open(namespace, IPV4 if offset else EXPERIMENTAL), 14 + offset)
                for namespace in namespaces
                for offset in offsets
            ]
            for name, namespaces in spec["receivers"].items()
        }

    def _open(self, namespace: str, ethertype: int) -> socket.socket:
        with Namespace(namespace).inside():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if ethertype:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.bind((self.device, ethertype))
        return sock

    def run(self) -> None:
        """Serve the commands ``snapshot`` and ``stop`` of standard input; its end is a command to end."""
        start = time.monotonic_ns()
        self._say({"start_ns": start})
        last, drained, stopping, heard = start, start, False, start
        commands = select.poll()
        commands.register(0, select.POLLIN)
        while True:
            now = time.monotonic_ns()
            if not stopping:
                self.pause = max(self.pause, now - last)
                last = now
                self._send((now - start) // self.interval + 1)
            if now - drained >= _DRAIN_INTERVAL:
                drained = now
                if self._drain():
                    heard = now
                if stopping and now - heard >= _QUIET:
                    self._say(self._result())
                    return
                if commands.poll(0):
                    command = os.read(0, 64).decode().strip()
                    if command == "snapshot":
                        self._say(self._result())
                    elif command == "stop":
                        stopping, heard = True, now
                    else:
                        return
            due = start + (self.sent * self.interval if not stopping else now - start + _DRAIN_INTERVAL)
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)

    def _send(self, due: int) -> None:
        """Send all frames whose numbers are below ``due``."""
        for frame in range(self.sent, due):
            for sender, start, stream in self._streams:
                sender.send((start + HEADER.pack(self.token, stream, frame)).ljust(14 + PAYLOAD, b"\0"))
            self.sent = frame + 1

    def _drain(self) -> bool:
        """Read what has arrived; whether anything has."""
        any_ = False
        for name, places in self._receivers.items():
            heard = [one for sock, offset in places for one in self._read(sock, offset)]
            if len(places) > 1:
                heard.sort()  # by time: a guest that migrates is in two places
            for at, stream, number in heard:
                any_ = True
                arrivals = self._arrivals.get((stream, name))
                if arrivals is not None:
                    arrivals.add(number, at)
        return any_

    def _read(self, sock: socket.socket, offset: int) -> Iterator[tuple[int, int, int]]:
        """What has arrived at one place: time in ns, number of the stream, number of the frame."""
        with suppress(BlockingIOError):
            while True:
                data, ancillary, _, address = sock.recvmsg(128, 64, socket.MSG_DONTWAIT)
                if address[2] == socket.PACKET_OUTGOING or data[offset : offset + 8] != self.token:
                    continue
                _, stream, number = HEADER.unpack_from(data, offset)
                seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
                yield seconds * 1_000_000_000 + nanoseconds, stream, number
        self.overrun += struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]

    def _result(self) -> dict[str, Any]:
        arrivals = [
            {"stream": stream, "receiver": name, **arrived.summary(self.sent)}
            for (stream, name), arrived in self._arrivals.items()
        ]
        return {"sent": self.sent, "pause_ns": self.pause, "overrun": self.overrun, "arrivals": arrivals}

    def _say(self, what: dict[str, Any]) -> None:
        print(json.dumps(what), flush=True)


if __name__ == "__main__":
    with suppress(PermissionError):  # not allowed in every container; frames are late then, not lost
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    Prober(json.loads(sys.argv[1])).run()
