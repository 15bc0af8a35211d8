"""OpenFlow messages as os-ken's classes, and their names: read behind the length check, written with a transaction id.

HELLO is ours in both directions: os-ken writes none of its elements, and passes over every 32nd version.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

from os_ken.ofproto import ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from topology.errors import FramingError

HEADER = Struct(ofp.OFP_HEADER_PACK_STR)
"""ofp_header: version, type, length in bytes, xid (OpenFlow 1.3.5 §7.1.1)."""

TABLE_FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
"""What :func:`describe_error` says of a flow for which its table has no room."""

_ETHERTYPE_VLAN = 0x8100
_ETHERTYPE_LOOPBACK = 0x9000
_SHORTEST_FRAME = 60
"""Bytes of an Ethernet frame without its checksum."""

_HELLO_BITMAP = Struct("!HHI")
_PORT = Struct(ofp.OFP_PORT_PACK_STR)


def _names(prefix: str) -> dict[int, str]:
    """Number → name of os-ken's constants that begin with ``prefix``."""
    return {number: name for name, number in vars(ofp).items() if name.startswith(prefix)}


MESSAGE_NAMES = _names("OFPT_")
"""enum ofp_type (OpenFlow 1.3.5 §7.1.1)."""

_ONF_ERRORS = _names("ONFERR_")


class OpenFlow13:
    """As much of os-ken's ``Datapath`` as its messages ask for: the version that they are of."""

    ofproto = ofp
    ofproto_parser = parser


@dataclass(frozen=True)
class PortDesc:
    """What there is to use of an ``OFPPort`` (ofp_port, §7.2.1).

    :param name: bytes that are not UTF-8 come as e.g. ``\\xff``, so that different names stay different
    """

    port_no: int
    name: str

    @classmethod
    def of(cls, port: Any) -> PortDesc:
        """The same of an ``OFPPort``."""
        return cls(port.port_no, text(port.name))


def text(padded: bytes) -> str:
    """Letters up to the first null; bytes that are not UTF-8 become e.g. ``\\xff``."""
    return padded.split(b"\0", 1)[0].decode("utf-8", errors="backslashreplace")


def message_name(kind: int) -> str:
    """The type of a message, e.g. ``OFPT_HELLO``."""
    return MESSAGE_NAMES.get(kind, f"type {kind}")


@lru_cache(maxsize=256)  # os-ken goes through all of its constants for each
def _error_name(kind: int, code: int) -> str:
    names = ofp.ofp_error_to_jsondict(kind, code)
    known = {what: name.partition("(")[0] for what, name in names.items()}
    return "/".join(
        known[what] if known[what] != "Unknown" else f"{what} {number}"
        for what, number in (("type", kind), ("code", code))
    )


def describe_error(error: Any) -> str:
    """Type and code of an ``OFPErrorMsg``, e.g. ``OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT``; numbers that have no name.

    OFPET_HELLO_FAILED comes with the switch's own words, which it has as its data.
    """
    if error.type == ofp.OFPET_EXPERIMENTER:
        if error.experimenter == ofproto_common.ONF_EXPERIMENTER_ID:
            return _ONF_ERRORS.get(error.exp_type, f"OFPET_EXPERIMENTER/ONF code {error.exp_type}")
        return f"OFPET_EXPERIMENTER/{error.experimenter:#010x} code {error.exp_type}"
    name = _error_name(error.type, error.code)
    words = error.data.decode("ascii", errors="replace") if error.type == ofp.OFPET_HELLO_FAILED else ""
    printable = "".join(char if char.isprintable() else " " for char in words).strip()
    return f"{name}: {printable}" if printable else name


def xid_of(message: bytes) -> int:
    """The transaction id of a message of at least 8 bytes."""
    return int.from_bytes(message[4:8], "big")


def multipart_header(message: bytes) -> tuple[int, bool]:
    """Type (OFPMP_*) of an OFPT_MULTIPART_REPLY, and whether another part with its xid follows (§7.3.5)."""
    return int.from_bytes(message[8:10], "big"), bool(message[11] & ofp.OFPMPF_REPLY_MORE)


def parsed(message: bytes, datapath: Any = OpenFlow13) -> Any:
    """A message as os-ken's class.

    :param message: :func:`controller.openflow.wire.framing.check_body` has passed it
    :param datapath: what its ``datapath`` is to be
    :raises FramingError: os-ken cannot read it although all lengths are right
    """
    version, kind, length, xid = HEADER.unpack_from(message)
    try:
        return parser.msg_parser(datapath, version, kind, length, xid, message)
    except Exception as error:
        raise FramingError(f"{message_name(kind)} cannot be read: {error!r}") from None


def parsed_ports(message: bytes, datapath: Any = OpenFlow13) -> Any:
    """An ``OFPPortDescStatsReply``. os-ken takes some 15 µs a port, most of them for the MAC address: a second for a
    bridge that is full of ports, in which no other connection is served; this takes a fifth of that.

    :param message: as of :func:`parsed`
    """
    version, kind, length, xid = HEADER.unpack_from(message)
    reply = parser.msg_parser(
        datapath, version, kind, ofp.OFP_MULTIPART_REPLY_SIZE, xid, message
    )  # as if it ended here
    reply.msg_len = length
    for number, address, name, *rest in _PORT.iter_unpack(memoryview(message)[ofp.OFP_MULTIPART_REPLY_SIZE :]):
        reply.body.append(parser.OFPPort(number, address.hex(":"), name.rstrip(b"\0"), *rest))
    return reply


def encoded(message: Any, xid: int) -> bytes:
    """The bytes of a message of os-ken's."""
    message.xid = xid
    message.serialize()
    return bytes(message.buf)


def hello(xid: int, versions: Collection[int] = (ofp.OFP_VERSION,)) -> bytes:
    """OFPT_HELLO with a version bitmap (§7.5.1).

    :param versions: on the wire, e.g. 4 for OpenFlow 1.3
    """
    bitmap = sum(1 << version for version in versions)
    element = _HELLO_BITMAP.pack(ofp.OFPHET_VERSIONBITMAP, _HELLO_BITMAP.size, bitmap)
    return HEADER.pack(max(versions), ofp.OFPT_HELLO, HEADER.size + len(element), xid) + element


def hello_versions(message: bytes) -> frozenset[int]:
    """The versions in OFPT_HELLO: those of the bitmap or, without one, all up to that of the header (§6.3.1)."""
    pos = HEADER.size
    while pos < len(message):
        kind, length, _ = _HELLO_BITMAP.unpack_from(message, pos)
        if kind == ofp.OFPHET_VERSIONBITMAP:
            # Word n, counted from 0, has the versions from 32 n; read last word first it is one large number.
            words = [message[word : word + 4] for word in range(pos + 4, pos + length, 4)]
            bitmap = int.from_bytes(b"".join(reversed(words)), "big")
            return frozenset(bit for bit in range(len(words) * 32) if bitmap >> bit & 1)
        pos += length
    return frozenset(range(1, message[0] + 1))


def frame_to_itself(mac_address: str, vlan: int | None) -> bytes:
    """An Ethernet frame from an address to the same address: a switch learns where that is, and delivers to nobody.

    :param mac_address: e.g. ``fa:16:3e:02:dd:79``
    :param vlan: of its tag; None: it has none
    """
    address = bytes.fromhex(mac_address.replace(":", ""))
    tag = b"" if vlan is None else _ETHERTYPE_VLAN.to_bytes(2, "big") + vlan.to_bytes(2, "big")
    return (address + address + tag + _ETHERTYPE_LOOPBACK.to_bytes(2, "big")).ljust(_SHORTEST_FRAME, b"\0")
