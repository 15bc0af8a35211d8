"""Cookies say who owns a flow: a fixed mark, the application that made it, the object that it serves.

::

     63            48 47    40 39                                     0
    +----------------+--------+----------------------------------------+
    | owner 0x7b1d   | app    | digest of the object's id              |
    +----------------+--------+----------------------------------------+

The layout is stable over restarts and releases, so that a controller knows its own flows again.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

OWNER = 0x7B1D
"""The mark in the upper 16 bits of every flow that Tunbridge made."""

OWNER_SHIFT = 48
APP_SHIFT = 40
_OBJECT_OCTETS = 5

OBJECT_MASK = (1 << APP_SHIFT) - 1
"""The bits that say which object."""

APP_MASK = (1 << 64) - 1 - OBJECT_MASK
"""Those that say which application, and that it is ours."""


@lru_cache(maxsize=65536)
def cookie(app: int, object_id: str) -> int:
    """The 64-bit cookie of a flow that an application made for an object.

    :param app: number of the application
    :param object_id: id of the network or port, name of the device, or the empty string for a bridge's base
    """
    digest = hashlib.blake2b(object_id.encode(), digest_size=_OBJECT_OCTETS).digest() if object_id else b""
    return OWNER << OWNER_SHIFT | app << APP_SHIFT | int.from_bytes(digest, "big")


def is_ours(value: int) -> bool:
    """True when the cookie carries our mark."""
    return value >> OWNER_SHIFT == OWNER


def app_number(value: int) -> int | None:
    """The number of the application that made a flow, None for a foreign cookie."""
    return value >> APP_SHIFT & 0xFF if is_ours(value) else None


OTHERS_OWNER = 0x7B1E
"""The mark in the upper 16 bits of flows of os-ken applications of other people; :func:`others_cookie`."""

OTHERS_SHIFT = 32
OTHERS_MASK = 0xFFFF_FFFF << OTHERS_SHIFT
"""The bits of a cookie by which the flows of one such application are told from those of all others."""


@lru_cache(maxsize=256)
def others_cookie(module: str) -> int:
    """The upper half of the cookie of each flow of an os-ken application; the lower half is its own.

    :param module: as ``[DEFAULT] os_ken_apps`` names it
    """
    digest = hashlib.blake2b(module.encode(), digest_size=2).digest()
    return (OTHERS_OWNER << 16 | int.from_bytes(digest, "big")) << OTHERS_SHIFT


def is_of_others(value: int) -> bool:
    """True when the cookie carries the mark of an os-ken application, whether that is loaded or not."""
    return value >> OWNER_SHIFT == OTHERS_OWNER
