"""Ethernet frames: what to send, and what was seen on a device. Standard library only.

A capture is a packet socket (packet(7)) that is opened before and read after: the kernel keeps what arrives in between,
with the time of arrival, so there is no process to start and to wait for. Nothing is lost unnoticed: the kernel counts
what it could not keep, and reading fails then.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from tests.support.lab.netns import Namespace
from tests.support.waiting import LEAST, wait_until

BROADCAST = "ff:ff:ff:ff:ff:ff"
MULTICAST = "01:00:5e:01:02:03"
"""Of the IPv4 group 224.1.2.3, which nobody has joined."""
EXPERIMENTAL = 0x88B5
"""The ethertype that IEEE 802 sets aside for experiments: no kernel sends or answers it."""

IPV4 = 0x0800
VLAN = 0x8100
SERVICE_VLAN = 0x88A8
"""The outer tag of IEEE 802.1ad (QinQ)."""

_ROOM = 16 * 1024 * 1024  # bytes; some thousand frames of any size
_LONGEST = 65600  # bytes
_ETH_P_ALL = 0x0003  # <linux/if_ether.h>; the constants below are of <linux/if_packet.h> and <asm/socket.h>
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 33, 35, 26
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter of <linux/filter.h>
_LD_W, _LD_H, _JEQ, _RET = (
    0x20,
    0x28,
    0x15,
    0x06,
)  # BPF_LD|BPF_ABS of a word and of a half one, BPF_JMP|BPF_JEQ, BPF_RET


@dataclass(frozen=True)
class Frame:
    """One Ethernet frame, as it is on the wire but for its checksum.

    :param destination: MAC address
    :param source: MAC address
    :param payload: what follows the ethertype
    :param tags: VLAN ids, outermost first; the tags of the wire, with priority 0
    :param outer_tpid: ethertype of the outermost tag; those inside are 0x8100
    """

    destination: str
    source: str
    payload: bytes
    ethertype: int = EXPERIMENTAL
    tags: tuple[int, ...] = ()
    outer_tpid: int = VLAN

    def encode(self) -> bytes:
        """The bytes."""
        tpids = (self.outer_tpid, *[VLAN] * len(self.tags))
        tags = b"".join(struct.pack("!HH", tpid, tag) for tpid, tag in zip(tpids, self.tags, strict=False))
        addresses = _mac_bytes(self.destination) + _mac_bytes(self.source)
        return addresses + tags + struct.pack("!H", self.ethertype) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """The frame that some bytes are.

        :raises struct.error: they are shorter than an Ethernet header
        """
        (ethertype,), offset, tags = struct.unpack_from("!H", data, 12), 14, []
        outer_tpid = ethertype if ethertype == SERVICE_VLAN else VLAN
        while ethertype in (VLAN, SERVICE_VLAN):
            tci, ethertype = struct.unpack_from("!HH", data, offset)
            tags.append(tci & 0xFFF)
            offset += 4
        return cls(mac_text(data[:6]), mac_text(data[6:12]), data[offset:], ethertype, tuple(tags), outer_tpid)


def unique(destination: str, source: str, size: int = 60, *, tags: Sequence[int] = (), outer_tpid: int = VLAN) -> Frame:
    """A frame that no other frame is like.

    :param size: bytes without tags and checksum, at least 30; Ethernet's shortest is 60
    """
    token = os.urandom(16)
    return Frame(destination, source, token.ljust(size - 14, b"."), tags=tuple(tags), outer_tpid=outer_tpid)


def send(namespace: Namespace, device: str, *frames: Frame) -> None:
    """Send frames on a device, in the order in which they are given."""
    with namespace.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((device, 0))
        for frame in frames:
            sender.send(frame.encode())


@dataclass(frozen=True)
class Captured:
    """A frame that was seen.

    :param at: when, in seconds since the epoch
    :param outgoing: the device's own machine sent it; otherwise it came from the other end of the cable
    """

    frame: Frame
    data: bytes
    at: float
    outgoing: bool


class Capture:
    """All frames on one device, from its making on. A context manager; it closes the socket.

    :param device: name of a device in ``namespace``
    :param senders: MAC addresses; where any are given, frames of others are not seen, and take no room: beside a stream
        of a thousand frames a second a busy machine has none left when the one that counts comes
    :param room: bytes that the kernel keeps until they are read
    """

    def __init__(self, namespace: Namespace, device: str, *, senders: Collection[str] = (), room: int = _ROOM) -> None:
        self.where = f"{device} in {namespace.name}"
        self._seen: list[Captured] = []
        self._received: dict[tuple[bytes, str], list[Frame]] = {}
        """By payload and source, of the first :attr:`_sorted` that were seen."""
        self._sorted = 0
        with namespace.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            if senders:
                _attach(self._socket, _only_from(senders))
            self._socket.bind((device, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; what was seen is lost."""
        self._socket.close()

    def seen(self) -> list[Captured]:
        """Everything up to now, in order; what arrives while it is read is read the next time.

        :raises AssertionError: the kernel had no room for some frames
        """
        stamp, now = 0.0, time.time()
        while stamp <= now:
            try:
                data, ancillary, _, address = self._socket.recvmsg(_LONGEST, 256, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            stamp, data = 0.0, bytes(data)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("=qq", content)
                    stamp = seconds + nanoseconds / 1e9
                elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                    data = _with_tag(data, content)
            outgoing = address[2] == socket.PACKET_OUTGOING
            self._seen.append(Captured(Frame.decode(data), data, stamp, outgoing))
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        lost = struct.unpack("=II", statistics)[1]
        assert not lost, f"capture on {self.where}: {lost} frames were lost for want of room"
        return self._seen

    def received(self) -> list[Frame]:
        """The frames that came from the other end of the cable."""
        return [captured.frame for captured in self.seen() if not captured.outgoing]

    def copies(self, frame: Frame, *, tagged: bool = False) -> int:
        """How often ``frame`` came from the other end of the cable.

        :param tagged: with exactly its own tags; otherwise whatever tags it has
        """
        seen = self.seen()
        for captured in seen[self._sorted :]:  # once, since some tests ask of each of hundreds of frames
            if not captured.outgoing:
                self._received.setdefault((captured.frame.payload, captured.frame.source), []).append(captured.frame)
        self._sorted = len(seen)
        found = self._received.get((frame.payload, frame.source), ())
        return sum(not tagged or other.tags == frame.tags for other in found)


def quiet(
    captures: Sequence[Capture],
    arrived: Callable[[], bool] = lambda: True,
    seconds: float = 0.15,
    timeout: float = LEAST,
) -> None:
    """Wait until what must arrive has, and nothing has been seen anywhere for a while: the rest has come too.

    :param arrived: whether what must arrive has. A busy machine keeps a frame for longer than that while: silence alone
        says of nothing that it will not come. Where it never does, this returns too, and what the test expects says so.
    :param seconds: the while; frames take less than one hundredth of it through the lab
    :param timeout: seconds, of each
    :raises AssertionError: the frames do not end: a loop
    """
    with suppress(AssertionError):
        wait_until(arrived, timeout, "what must arrive")
    start = since = time.monotonic()
    count = -1
    while time.monotonic() - since < seconds:
        now = sum(len(capture.seen()) for capture in captures)
        if now != count:
            count, since = now, time.monotonic()
        assert since - start < timeout, f"still frames after {timeout} s, {count} so far: is there a loop?"
        time.sleep(0.01)


def _only_from(senders: Collection[str]) -> bytes:
    """The program of a packet filter (bpf(4)) that lets through what has one of some source addresses."""
    program = []
    for sender in senders:
        high, low = struct.unpack("!IH", _mac_bytes(sender))
        program += [(_LD_W, 0, 0, 6), (_JEQ, 0, 3, high), (_LD_H, 0, 0, 10), (_JEQ, 0, 1, low), (_RET, 0, 0, _LONGEST)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in [*program, (_RET, 0, 0, 0)])


def _attach(receiver: socket.socket, program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program)
    address = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(instructions))  # struct sock_fprog
    receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, address)


def mac_text(data: bytes) -> str:
    """A MAC address as text."""
    return data.hex(":")


def _mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _with_tag(data: bytes, auxdata: bytes) -> bytes:
    """Put back the outermost VLAN tag, which the kernel takes out of a frame before it shows it."""
    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(auxdata)
    if not status & _TP_STATUS_VLAN_VALID:
        return data
    tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else VLAN
    return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
