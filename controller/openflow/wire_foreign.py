"""Flows of other people's making, in words for an operator.

Open vSwitch knows far more fields and actions than this project uses. What our own codec does not know is read with
os-ken, and what os-ken does not know is shown as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

from apps.render import render_action, render_match
from controller.openflow.framing_elements import check_instructions, check_match, padded
from controller.openflow.wire_constants import OFPMT_OXM
from controller.openflow.wire_flows import InstalledFlow, decode_instructions

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


def _field(name: str, value: Any) -> str:
    value, mask = value if isinstance(value, tuple) else (value, None)
    style = "{:#x}" if name in _HEX_FIELDS or name.startswith("reg") else "{}"
    text = f"{_FIELD_NAMES.get(name, name)}={style.format(value)}"
    return text if mask is None else f"{text}/{style.format(mask)}"


def _match_text(raw: bytes) -> str:
    """Fields as os-ken reads them."""
    from os_ken.ofproto import ofproto_v1_3_parser as parser  # never needed unless somebody else's flow is found

    length = 4 + len(raw)
    buf = pack("!HH", OFPMT_OXM, length) + raw + bytes(padded(length) - length)
    check_match(buf, 0, len(buf))
    return ",".join(_field(name, value) for name, value in parser.OFPMatch.parser(buf, 0).items())


def _instructions_text(raw: bytes) -> str:
    """Instructions and actions as os-ken reads them, under its names."""
    from os_ken.ofproto import ofproto_v1_3_parser as parser

    check_instructions(raw, 0, len(raw))
    texts: list[str] = []
    pos = 0
    while pos < len(raw):
        instruction = parser.OFPInstruction.parser(raw, pos)
        if isinstance(instruction, parser.OFPInstructionActions):
            texts += map(str, instruction.actions)
        else:
            texts.append(str(instruction))
        pos += instruction.len
    return ",".join(texts)


def _read(reader: Callable[[bytes], str], raw: bytes) -> str:
    """``reader(raw)``, or the bytes in hexadecimal where os-ken fails on them, which it does in many ways."""
    try:
        return reader(raw)
    except Exception:
        return f"hex:{raw.hex()}"


def describe_foreign(installed: InstalledFlow) -> str:
    """One line about a flow that need not be of our shapes, close to the syntax of ``ovs-ofctl``. Never raises."""
    match, actions = installed.match, decode_instructions(installed.raw_instructions)
    matched = _read(_match_text, installed.raw_match) if match is None else render_match(match)
    if actions is None:
        done = _read(_instructions_text, installed.raw_instructions)
    else:
        done = ",".join(map(render_action, actions)) or "drop"
    head = [f"cookie={installed.cookie:#x}", f"table={installed.table}"]
    for name in ("idle_timeout", "hard_timeout"):
        if getattr(installed, name):
            head.append(f"{name}={getattr(installed, name)}")
    head.append(f"priority={installed.priority}" + (f",{matched}" if matched else ""))
    return f"{', '.join(head)} actions={done}"
