"""What a session and its owner agree upon: the times it keeps, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.openflow.wire.flow_monitor import FlowUpdate


@dataclass(frozen=True)
class Timeouts:
    """In seconds.

    :param connect: from the connection to the end of the handshake
    :param request: for the answer to a request, and for the peer to take bytes that are sent
    """

    connect: float
    request: float


Emit = Callable[[Any, str], None]
"""Is given each event of os-ken's that a session has, with the phase that it belongs to (``*_DISPATCHER`` of
:mod:`os_ken.controller.handler`); called in the session's thread, must only enqueue."""

FlowListener = Callable[[tuple[FlowUpdate, ...] | None], None]
"""Is told of changes of flows that others make, None: of some that the switch could not tell; must only enqueue."""
