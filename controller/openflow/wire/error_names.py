"""The names of errors and messages, which are os-ken's: a log says OFPBAC_BAD_OUT_PORT and not "type 2, code 4"."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from os_ken.ofproto import ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp

TABLE_FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
"""What :func:`error_name` calls the refusal of a flow for which its table has no room."""


def _names(prefix: str) -> dict[int, str]:
    """Number → name of os-ken's constants that begin with ``prefix``."""
    return {number: name for name, number in vars(ofp).items() if name.startswith(prefix)}


MESSAGE_NAMES = _names("OFPT_")
"""enum ofp_type (OpenFlow 1.3.5 §7.1.1)."""

_ONF_ERRORS = _names("ONFERR_")


def message_name(kind: int) -> str:
    """The type of a message, e.g. ``OFPT_HELLO``."""
    return MESSAGE_NAMES.get(kind, f"type {kind}")


@lru_cache(maxsize=256)  # os-ken goes through all of its constants for each
def _error_name(kind: int, code: int) -> str:
    names = ofp.ofp_error_to_jsondict(kind, code)
    known = {what: text.partition("(")[0] for what, text in names.items()}
    return "/".join(
        known[what] if known[what] != "Unknown" else f"{what} {number}"
        for what, number in (("type", kind), ("code", code))
    )


def error_name(error: Any) -> str:
    """Type and code of an OFPErrorMsg, e.g. ``OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT``; numbers that have no name."""
    if error.type != ofp.OFPET_EXPERIMENTER:
        return _error_name(error.type, error.code)
    if error.experimenter == ofproto_common.ONF_EXPERIMENTER_ID:
        return _ONF_ERRORS.get(error.exp_type, f"OFPET_EXPERIMENTER/ONF code {error.exp_type}")
    return f"OFPET_EXPERIMENTER/{error.experimenter:#010x} code {error.exp_type}"


def describe_error(error: Any) -> str:
    """:func:`error_name`, with the switch's own words where it sends some: OFPET_HELLO_FAILED has text as its data."""
    words = error.data.decode("ascii", errors="replace") if error.type == ofp.OFPET_HELLO_FAILED else ""
    printable = "".join(char if char.isprintable() else " " for char in words).strip()
    return f"{error_name(error)}: {printable}" if printable else error_name(error)
