"""The names of OpenFlow errors, so that a log says OFPBAC_BAD_OUT_PORT and not "type 2, code 4"."""

from __future__ import annotations

from functools import cache

from controller.openflow.wire.constants import OFPET_HELLO_FAILED, ONF_EXPERIMENTER
from controller.openflow.wire.messages import ErrorMessage

TABLE_FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
"""What :func:`error_name` calls the refusal of a flow for which its table has no room."""

_CODE_PREFIXES = {
    0: "OFPHFC_",
    1: "OFPBRC_",
    2: "OFPBAC_",
    3: "OFPBIC_",
    4: "OFPBMC_",
    5: "OFPFMFC_",
    6: "OFPGMFC_",
    7: "OFPPMFC_",
    8: "OFPTMFC_",
    9: "OFPQOFC_",
    10: "OFPSCFC_",
    11: "OFPRRFC_",
    12: "OFPMMFC_",
    13: "OFPTFFC_",
}
"""By error type, what the names of its codes begin with (OpenFlow 1.3.5 §7.4.4)."""


@cache
def _names(prefix: str) -> dict[int, str]:
    """Number → name of the constants of OpenFlow 1.3 that begin with ``prefix``."""
    from os_ken.ofproto import ofproto_v1_3  # only when there is an error to name: not needed to speak OpenFlow

    return {number: name for name, number in vars(ofproto_v1_3).items() if name.startswith(prefix)}


def error_name(error: ErrorMessage) -> str:
    """Type and code, e.g. ``OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT``; numbers where there is no name."""
    kind = _names("OFPET_").get(error.type, f"type {error.type}")
    if error.experimenter == ONF_EXPERIMENTER:
        return _names("ONFERR_ET_").get(error.code, f"{kind}/ONF code {error.code}")
    if error.experimenter is not None:
        return f"{kind}/{error.experimenter:#010x} code {error.code}"
    prefix = _CODE_PREFIXES.get(error.type)
    code = _names(prefix).get(error.code) if prefix else None
    return f"{kind}/{code or f'code {error.code}'}"


def describe_error(error: ErrorMessage) -> str:
    """:func:`error_name`, with the switch's own words where it sends some: OFPET_HELLO_FAILED has text as its data."""
    words = error.data.decode("ascii", errors="replace") if error.type == OFPET_HELLO_FAILED else ""
    printable = "".join(char if char.isprintable() else " " for char in words).strip()
    return f"{error_name(error)}: {printable}" if printable else error_name(error)
