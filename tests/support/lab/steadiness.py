"""Keeps a busy machine from losing frames that a switch has nothing to do with, and counts those that it loses.

The userspace datapath takes frames from packet sockets whenever the main thread of ovs-vswitchd comes by. Until then
they wait in the kernel, in room for some 270 small frames: on a machine with two cores and ten processes that is soon
full. A loss of that kind says nothing about flows, so the room is made larger, and what is still dropped there is told
apart from what a switch dropped.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOM = 32 * 1024 * 1024  # bytes, half of which the kernel uses: some 20,000 small frames
_PRIORITY = -10  # the nice value that ovs-ctl(8) gives ovs-vswitchd
_SO_RCVBUFFORCE = 33  # <asm/socket.h>
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # <linux/if_packet.h>
_SYS_PIDFD_GETFD = 438  # pidfd_getfd(2), the same on all architectures
_libc = ctypes.CDLL(None, use_errno=True)


def steady(vswitchd: int, room: int = _ROOM) -> None:
    """Make room for frames that wait for a switch, and forget what was dropped before.

    It is for the ports that the switch has now: call it again when it has got others, or was started anew.

    :param vswitchd: process id
    :param room: bytes, of each port
    """
    os.setpriority(os.PRIO_PROCESS, vswitchd, _PRIORITY)
    for sock in _packet_sockets(vswitchd):
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
            _dropped(sock)


def dropped(vswitchd: int) -> dict[str, int]:
    """Device → frames dropped by the kernel for want of room before the switch saw them, since this was last asked."""
    counts: dict[str, int] = {}
    for sock in _packet_sockets(vswitchd):
        with sock:
            if count := _dropped(sock):
                device = sock.getsockname()[0]
                counts[device] = counts.get(device, 0) + count
    return counts


def backlog_dropped() -> int:
    """Frames that the kernel dropped between two devices, for want of room, on the whole machine since its start."""
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def _packet_sockets(pid: int) -> Iterator[socket.socket]:
    """Copies of a process's packet sockets."""
    process = os.pidfd_open(pid)
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if not os.readlink(link).startswith("socket:"):
                    continue
                descriptor = _libc.syscall(_SYS_PIDFD_GETFD, process, int(link.name), 0)
                if descriptor < 0:
                    continue
                sock = socket.socket(fileno=descriptor)
                if sock.family == socket.AF_PACKET:
                    yield sock
                else:
                    sock.close()
    finally:
        os.close(process)


def _dropped(sock: socket.socket) -> int:
    """What a packet socket had no room for; the kernel starts to count anew."""
    statistics = sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
    return int(struct.unpack("=II", statistics)[1])
