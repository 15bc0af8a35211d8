"""Values of fields as flows have them, from the text that the topology has; each is asked for many times."""

from __future__ import annotations

from functools import lru_cache

import netaddr


@lru_cache(1 << 14)
def mac_number(mac_address: str) -> int:
    """The number of a MAC address: some five flows of a port have it."""
    return int(netaddr.EUI(mac_address))
