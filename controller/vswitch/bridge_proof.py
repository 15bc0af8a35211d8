"""How a bridge shows that it is no impostor: by a secret that only who may read the local OVSDB can know.

Anybody on the machine can connect to a TCP port of it and tell the datapath id of br-int, which is no secret. So each
bridge gets a serial number that nobody can guess, in ``other_config:dp-sn`` of its row; Open vSwitch tells it to its
controllers (OFPMP_DESC, OpenFlow 1.3.5 §7.3.5.1) and to nobody else. A connection that does not show it is not let in.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping

KEY = "dp-sn"
"""In ``Bridge.other_config``; ovs-vswitchd.conf.db(5) has it as "Human readable serial number of datapath"."""

_OURS = re.compile(r"tunbridge-[0-9a-f]{20}")  # 80 bits, in the 31 bytes that Open vSwitch tells


def new_serial() -> str:
    """A serial number that nobody else has."""
    return f"tunbridge-{secrets.token_hex(10)}"


def serial_of(other_config: Mapping[str, str]) -> str | None:
    """The serial number of a bridge, None where it has none that nobody can guess.

    :param other_config: of its row
    """
    serial = other_config.get(KEY, "")
    return serial if _OURS.fullmatch(serial) else None


def shows(serial: str, shown: str | None) -> bool:
    """Whether a peer is who the serial number was given to; takes as long for every wrong one."""
    return shown is not None and hmac.compare_digest(serial.encode(), shown.encode())
