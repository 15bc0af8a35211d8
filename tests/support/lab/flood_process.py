"""The process of a :class:`tests.support.lab.flood.Flood`: sends frames in turn, and counts where they come.

Frame n is due n intervals after the start, as of :mod:`tests.support.lab.probe_process`: a process that was kept
waiting sends all that is due at once. Standard library only.
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

from tests.support.lab.netns import Namespace

MARK = struct.Struct("!8sH")
"""Token of the flood, number of the frame; behind the packet, where Ethernet pads."""

_ROOM = 64 * 1024 * 1024  # bytes
_LONGEST = 2048  # bytes
_ETH_P_ALL = 0x0003  # <linux/if_ether.h>
_DRAIN_INTERVAL = 20_000_000  # ns
_QUIET = 300_000_000  # ns without a frame after which none is under way any more
_SO_RCVBUFFORCE = 33  # <asm/socket.h>
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # <linux/if_packet.h>


class Flooder:
    """Sends and counts, until it is told to stop.

    :param spec: see :meth:`tests.support.lab.flood.Flood.start`
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.interval: int = spec["interval_ns"]
        self.token = bytes.fromhex(spec["token"])
        self.sent = 0
        self.overrun = 0
        self._counts: dict[tuple[int, str], int] = {}
        senders = {
            (frame["namespace"], frame["device"]): self._open(frame["namespace"], frame["device"], 0)
            for frame in spec["frames"]
        }
        self._frames = [
            (
                senders[frame["namespace"], frame["device"]],
                bytes.fromhex(frame["data"]) + MARK.pack(self.token, number),
            )
            for number, frame in enumerate(spec["frames"])
        ]
        self._places = {
            place["name"]: self._open(place["namespace"], place["device"], _ETH_P_ALL) for place in spec["places"]
        }

    @staticmethod
    def _open(namespace: str, device: str, protocol: int) -> socket.socket:
        with Namespace(namespace).inside():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if protocol:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        sock.bind((device, protocol))
        return sock

    def run(self) -> None:
        """Say that it begins, and serve ``snapshot`` and ``stop`` of standard input, whose end is a command to end."""
        start = drained = heard = time.monotonic_ns()
        stopping = False
        commands = select.poll()
        commands.register(0, select.POLLIN)
        self._say()
        while True:
            now = time.monotonic_ns()
            if not stopping:
                self._send((now - start) // self.interval + 1)
            if now - drained >= _DRAIN_INTERVAL:
                drained = now
                if self._drain():
                    heard = now
                if stopping and now - heard >= _QUIET:
                    self._say()
                    return
                if commands.poll(0):
                    command = os.read(0, 64).decode().strip()
                    if command == "snapshot":
                        self._say()
                    elif command == "stop":
                        stopping, heard = True, now
                    else:
                        return
            due = start + (self.sent * self.interval if not stopping else now - start + _DRAIN_INTERVAL)
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)

    def _send(self, due: int) -> None:
        """Send all frames whose numbers are below ``due``."""
        for number in range(self.sent, due):
            sender, data = self._frames[number % len(self._frames)]
            sender.send(data)
            self.sent = number + 1

    def _drain(self) -> bool:
        """Read what has arrived; whether anything of the flood has."""
        any_ = False
        for name, sock in self._places.items():
            for number in self._read(sock):
                any_ = True
                self._counts[number, name] = self._counts.get((number, name), 0) + 1
        return any_

    def _read(self, sock: socket.socket) -> Iterator[int]:
        """Numbers of the frames that came to a place from the other end of its cable, whatever is around them."""
        with suppress(BlockingIOError):
            while True:
                data, address = sock.recvfrom(_LONGEST, socket.MSG_DONTWAIT)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                at = data.find(self.token)
                if at >= 0:
                    yield MARK.unpack_from(data, at)[1]
        self.overrun += struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]

    def _say(self) -> None:
        counts = [[number, place, count] for (number, place), count in sorted(self._counts.items())]
        print(json.dumps({"sent": self.sent, "overrun": self.overrun, "counts": counts}), flush=True)


if __name__ == "__main__":
    with suppress(PermissionError):  # not allowed in every container; frames are late then, not lost
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    Flooder(json.loads(sys.stdin.buffer.readline())).run()
