"""Flows of other people's making, in words for an operator.

Open vSwitch knows far more fields and actions than this project uses. What our own codec does not know is read with
os-ken, and what os-ken does not know is shown as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import Output
from apps.framework.render import render_match
from controller.openflow.wire.element_lengths import check_oxm
from controller.openflow.wire.flow_messages import InstalledFlow, decode_instructions, decode_oxm

_FIELD_NAMES = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "vlan_pcp": "dl_vlan_pcp",
    "ip_proto": "nw_proto",
    "ip_ecn": "nw_ecn",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "tunnel_id": "tun_id",
    "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code",
}
"""os-ken's names of the fields that ``ovs-ofctl`` calls otherwise."""

_HEX_FIELDS = frozenset({"eth_type", "vlan_vid", "tunnel_id", "metadata", "tcp_flags", "ct_state", "ct_mark"})
"""Numbers that ``ovs-ofctl`` prints in hexadecimal."""


_NX_IN_PORT = 0xFFF8
_NX_THIS_TABLE = 0xFF
"""What NXAST_RESUBMIT_TABLE calls the port and the table of the frame (nicira-ext.h)."""

_ACTION_LISTS = {
    ofp.OFPIT_APPLY_ACTIONS: "{}",
    ofp.OFPIT_WRITE_ACTIONS: "write_actions({})",
    ofp.OFPIT_CLEAR_ACTIONS: "clear_actions",
}


def _name(field: str) -> str:
    """A field of os-ken as ``ovs-ofctl`` calls it; the Nicira form of a field is the same field."""
    plain = field.removesuffix("_nxm")
    return _FIELD_NAMES.get(plain, plain)


def _field(name: str, value: Any) -> str:
    value, mask = value if isinstance(value, tuple) else (value, None)
    style = "{:#x}" if name in _HEX_FIELDS or name.startswith("reg") else "{}"
    text = f"{_name(name)}={style.format(value)}"
    return text if mask is None else f"{text}/{style.format(mask)}"


def _match_text(raw: bytes) -> str:
    """Fields as we render them or, where they are none of ours, as os-ken reads them."""
    texts = []
    pos = 0
    while pos < len(raw):
        after = check_oxm(raw, pos, len(raw))
        oxm = raw[pos:after]
        match = decode_oxm(oxm)
        if match is None:
            alone = pack("!HH", ofp.OFPMT_OXM, 4 + len(oxm)) + oxm
            texts += [_field(name, value) for name, value in parser.OFPMatch.parser(alone, 0).items()]
        else:
            texts.append(render_match(match))
        pos = after
    return ",".join(texts)


def _output(action: Any) -> str:
    return f"CONTROLLER:{action.max_len}" if action.port == ofp.OFPP_CONTROLLER else str(Output(action.port))


def _resubmit(action: Any) -> str:
    port = "" if action.in_port == _NX_IN_PORT else action.in_port
    return f"resubmit({port},{'' if action.table_id == _NX_THIS_TABLE else action.table_id})"


def _bits(name: str, first: int, number: int) -> str:
    return f"{_name(name)}[{first}..{first + number - 1}]"


_ACTION_TEXTS: dict[str, Callable[[Any], str]] = {
    "OFPActionOutput": _output,
    "OFPActionGroup": lambda action: f"group:{action.group_id}",
    "OFPActionSetQueue": lambda action: f"set_queue:{action.queue_id}",
    "OFPActionPushVlan": lambda action: f"push_vlan:{action.ethertype:#06x}",
    "OFPActionPopVlan": lambda action: "pop_vlan",
    "OFPActionDecNwTtl": lambda action: "dec_ttl",
    "OFPActionSetField": lambda action: f"set_field:{action.value}->{_name(action.key)}",
    "NXActionRegLoad": lambda action: (
        f"load:{action.value:#x}->{_bits(action.dst, action.ofs_nbits >> 6, (action.ofs_nbits & 0x3F) + 1)}"
    ),
    "NXActionRegMove": lambda action: (
        f"move:{_bits(action.src_field, action.src_ofs, action.n_bits)}"
        f"->{_bits(action.dst_field, action.dst_ofs, action.n_bits)}"
    ),
    "NXActionResubmitTable": _resubmit,
    "OFPInstructionGotoTable": lambda instruction: f"goto_table:{instruction.table_id}",
    "OFPInstructionWriteMetadata": lambda instruction: (
        f"write_metadata:{instruction.metadata:#x}/{instruction.metadata_mask:#x}"
    ),
    "OFPInstructionMeter": lambda instruction: f"meter:{instruction.meter_id}",
}
"""By os-ken's class, the text of an action or instruction; all others are shown as os-ken shows them."""


def _text(thing: Any) -> str:
    return _ACTION_TEXTS.get(type(thing).__name__, str)(thing)


def _instructions_text(raw: bytes) -> str:
    """Instructions and actions as os-ken reads them."""
    texts: list[str] = []
    pos = 0
    while pos < len(raw):
        instruction = parser.OFPInstruction.parser(raw, pos)
        if isinstance(instruction, parser.OFPInstructionActions):
            actions = ",".join(map(_text, instruction.actions))
            texts.append(_ACTION_LISTS[instruction.type].format(actions))
        else:
            texts.append(_text(instruction))
        pos += instruction.len
    return ",".join(texts)


def _read(reader: Callable[[bytes], str], raw: bytes) -> str:
    """``reader(raw)``, or the bytes in hexadecimal where os-ken fails on them, which it does in many ways."""
    try:
        return reader(raw)
    except Exception:
        return f"hex:{raw.hex()}"


def describe_foreign(installed: InstalledFlow) -> str:
    """One line about a flow of any shape. Never raises.

    The common fields and actions are in the syntax that ``ovs-ofctl add-flow`` takes, the rest as os-ken shows them.
    """
    match, actions = installed.match, decode_instructions(installed.raw_instructions)
    matched = _read(_match_text, installed.raw_match) if match is None else render_match(match)
    if actions is None:
        done = _read(_instructions_text, installed.raw_instructions)
    else:
        done = ",".join(map(str, actions)) or "drop"
    head = []
    for name, style in (("cookie", "#x"), ("table", ""), ("idle_timeout", ""), ("hard_timeout", "")):
        number = getattr(installed, name)
        if number:
            head.append(f"{name}={number:{style}}")
    head.append(f"priority={installed.priority}" + (f",{matched}" if matched else ""))
    return f"{', '.join(head)} actions={done}"
