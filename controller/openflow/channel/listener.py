"""What a session and its owner agree upon: the times it keeps, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from controller.openflow.wire.flow_monitor import FlowUpdate
from controller.openflow.wire.messages import PortDesc

if TYPE_CHECKING:
    from controller.openflow.channel.session import Session


@dataclass(frozen=True)
class Timeouts:
    """In seconds.

    :param connect: from the connection to the end of the handshake
    :param request: for the answer to a request, and for the peer to take bytes that are sent
    """

    connect: float
    request: float


class Listener(Protocol):
    """What a session tells its owner; called in the session's thread, must only enqueue."""

    def identified(self, session: Session) -> None:
        """:attr:`Session.handshake` has come to its end; said again whenever the serial number is told anew, until
        the session is accepted."""

    def ports(self, session: Session, ports: tuple[PortDesc, ...]) -> None:
        """All ports of a bridge that was accepted; :meth:`port` tells what changes after that."""

    def port(self, session: Session, port: PortDesc, present: bool) -> None:
        """OFPT_PORT_STATUS: a port is there, or (not present) has gone."""

    def closed(self, session: Session) -> None:
        """The connection is over; said exactly once after ``identified``."""


FlowListener = Callable[[Iterable[FlowUpdate] | None], None]
"""Is told of changes of flows that others make, None: of some that the switch could not tell; must only enqueue."""
