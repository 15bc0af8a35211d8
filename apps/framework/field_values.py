"""Values of fields as flows have them, from the text that the topology has; each is asked for many times."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import netaddr

_IS_CANONICAL_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
"""As all are that are of the topology."""


@lru_cache(1 << 14)
def mac_number(mac_address: str) -> int:
    """The number of a MAC address: some five flows of a port have it."""
    if _IS_CANONICAL_MAC.fullmatch(mac_address):
        return int(mac_address.replace(":", ""), 16)
    return int(netaddr.EUI(mac_address))


@lru_cache(1 << 14)
def ip_number(address: str) -> tuple[int, int]:
    """IP version and number of an address."""
    found = ipaddress.ip_address(address)
    return found.version, int(found)
