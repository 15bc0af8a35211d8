"""All that a bridge was told, as bytes to read and bytes to write back: flows, groups and meters of any shape.

Nothing is decoded further than it takes to write an entry again: matches, instructions, buckets and bands are copied as
they are. OpenFlow 1.3 and 1.4 have them in the same places, but for the importance of a flow, which is new in 1.4
(OpenFlow 1.4.0 §7.3.4.2, "ofp_flow_mod").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.wire.messages import HEADER
from topology.errors import FramingError

_MULTIPART = Struct("!HH4x")
_FLOW_REQUEST = Struct("!B3xII4xQQHH4x")
_METER_REQUEST = Struct("!I4x")
_FLOW = Struct("!HBxIIHHHHH2xQ16x")
_FLOW_MOD = Struct("!QQBBHHHIIIHH")
_LENGTH = Struct("!H")
_COMMAND = Struct("!H")
_SMALLEST = {ofp.OFPMP_FLOW: _FLOW.size + 8, ofp.OFPMP_GROUP_DESC: 8, ofp.OFPMP_METER_CONFIG: 8}


@dataclass(frozen=True)
class SavedFlow:
    """A flow of any shape.

    :param idle_timeout: in seconds, 0: none
    :param hard_timeout: in seconds, 0: none
    :param importance: 0 where the connection speaks OpenFlow 1.3
    :param body: match and instructions as they came
    :param age: nanoseconds since it was installed
    """

    table: int
    priority: int
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    importance: int
    body: bytes
    age: int

    @property
    def key(self) -> tuple[int, int, bytes]:
        """What tells it from other flows of its bridge: table, priority, match."""
        return self.table, self.priority, self.body[: _LENGTH.unpack_from(self.body, 2)[0]]


@dataclass(frozen=True)
class Tables:
    """What a bridge was told.

    :param groups: group descriptions without their length
    :param meters: meter configurations without their length
    """

    flows: tuple[SavedFlow, ...] = ()
    groups: tuple[bytes, ...] = ()
    meters: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.groups or self.meters)

    def __str__(self) -> str:
        named = (("flows", self.flows), ("groups", self.groups), ("meters", self.meters))
        return ", ".join(f"{len(things)} {name}" for name, things in named if things) or "nothing"


def request(kind: int, version: int, xid: int) -> bytes:
    """OFPT_MULTIPART_REQUEST for all of OFPMP_FLOW, OFPMP_GROUP_DESC or OFPMP_METER_CONFIG."""
    body = {
        ofp.OFPMP_FLOW: _FLOW_REQUEST.pack(ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, 0, 0, ofp.OFPMT_OXM, 4),
        ofp.OFPMP_GROUP_DESC: b"",
        ofp.OFPMP_METER_CONFIG: _METER_REQUEST.pack(ofp.OFPM_ALL),
    }[kind]
    return _message(version, ofp.OFPT_MULTIPART_REQUEST, xid, _MULTIPART.pack(kind, 0) + body)


def entries(kind: int, reply: bytes) -> Iterator[bytes]:
    """The entries of one OFPT_MULTIPART_REPLY of that kind.

    :raises FramingError: a length is impossible
    """
    pos = HEADER.size + _MULTIPART.size
    while pos < len(reply):
        length = _LENGTH.unpack_from(reply, pos)[0] if pos + 2 <= len(reply) else 0
        if length < _SMALLEST[kind] or pos + length > len(reply):
            raise FramingError(f"an entry of {length} bytes at byte {pos} of a multipart reply of {len(reply)} bytes")
        yield reply[pos : pos + length]
        pos += length


def saved_flow(entry: bytes, version: int) -> SavedFlow:
    """A flow of an OFPMP_FLOW reply.

    :raises FramingError: its match is longer than it is
    """
    _, table, sec, nsec, priority, idle, hard, flags, importance, cookie = _FLOW.unpack_from(entry)
    body = entry[_FLOW.size :]
    if not 4 <= _LENGTH.unpack_from(body, 2)[0] <= len(body):
        raise FramingError("a flow whose match is longer than the flow")
    age = sec * 10**9 + nsec
    return SavedFlow(table, priority, cookie, idle, hard, flags, importance if version > 4 else 0, body, age)


def messages(tables: Tables, version: int) -> list[tuple[int, bytes]]:
    """What writes it all back: type and body of each message.

    What is referred to comes first: meters, groups, then flows from the last table to the first and, in each, from the
    highest priority down. So at no moment does a frame meet a flow where another would have caught it before.
    """
    done = [(ofp.OFPT_METER_MOD, _COMMAND.pack(ofp.OFPMC_ADD) + meter) for meter in tables.meters]
    done += [(ofp.OFPT_GROUP_MOD, _COMMAND.pack(ofp.OFPGC_ADD) + group) for group in tables.groups]
    for flow in sorted(tables.flows, key=lambda flow: (-flow.table, -flow.priority)):
        head = _FLOW_MOD.pack(
            flow.cookie, 0, flow.table, ofp.OFPFC_ADD, flow.idle_timeout, flow.hard_timeout, flow.priority,
            ofp.OFP_NO_BUFFER, ofp.OFPP_ANY, ofp.OFPG_ANY, flow.flags, flow.importance if version > 4 else 0,
        )  # fmt: skip
        done.append((ofp.OFPT_FLOW_MOD, head + flow.body))
    return done


def encode(written: Iterable[tuple[int, bytes]], version: int, first_xid: int) -> bytes:
    """Messages with their headers, numbered from ``first_xid`` on."""
    return b"".join(_message(version, kind, xid, body) for xid, (kind, body) in enumerate(written, first_xid))


def _message(version: int, kind: int, xid: int, body: bytes) -> bytes:
    return HEADER.pack(version, kind, HEADER.size + len(body), xid) + body
