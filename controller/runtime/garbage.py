"""Python's collector of garbage, out of the way of a start.

A start makes some hundred thousand objects, nearly all of them for good: to search them for unreachable ones again and
again while they become more is a fourth of its time. Standard library only.
"""

from __future__ import annotations

import gc

COMMAND, HOST, SERVICE = 100_000, 300_000, 20_000
"""Objects that are made before some are searched, by a command, by the start of a host and from then on; Python's own
number is 700.

A host whose switch is away has some of these numbers to no use, and no more. What serves makes much at once, as the
flows of a dump and the ports of a bulk, and next to nothing that refers to itself.
"""

_USUAL = gc.get_threshold()


def expect_much(objects: int = COMMAND) -> None:
    """Search seldom from now on: modules, or all of a host, are loaded, or a command is short.

    :param objects: see :data:`COMMAND`
    """
    gc.set_threshold(objects, *_USUAL[1:])


def search_nothing() -> None:
    """Of a command that makes much, keeps all of it to its end, and is short."""
    gc.disable()


def ending() -> None:
    """The process is about to end: what is there is not searched once more before it does."""
    gc.freeze()


def loaded() -> None:
    """What is there stays, and is never searched again; what comes is, all :data:`SERVICE` objects.

    What is no longer used goes all the same, unless it refers to itself.
    """
    gc.freeze()
    expect_much(SERVICE)
