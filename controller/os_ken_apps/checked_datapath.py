"""What an os-ken application of other people gets as the datapath of a bridge: with it, it can harm none of our flows.

It has what such applications use of os-ken's ``Datapath``. What they send goes over the connection that is ours too,
after :func:`controller.openflow.wire.app_messages.refusal` has passed its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from os_ken.controller.handler import HANDSHAKE_DISPATCHER
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.cookie import OTHERS_MASK
from controller.openflow.channel.session import Session
from controller.openflow.wire import messages
from controller.openflow.wire.app_messages import app_of, refusal
from controller.os_ken_apps.foreign_app import ForeignApp, MessageRefused
from topology.errors import OpenFlowError


class CheckedDatapath(messages.OpenFlow13):
    """One bridge, for one application.

    :param changing: is called with the bridge's name before a flow is changed
    """

    def __init__(self, session: Session, app: ForeignApp, changing: Callable[[str], None]) -> None:
        self.name = session.accepted_as
        """Of the bridge."""
        self.id = session.datapath_id
        self.cookie = app.cookie
        """What the cookies of its flows begin with: the bits of :attr:`cookie_mask`; the others are its own."""
        self.cookie_mask = OTHERS_MASK
        self.ports: dict[int, Any] = {}
        """OFPPort by number."""
        self.state: str = HANDSHAKE_DISPATCHER
        """As the application has been told of it."""
        self._session = session
        self._app = app
        self._changing = changing

    @property
    def is_active(self) -> bool:
        """The connection lives, and the application has not been stopped."""
        return self._session.is_active and self._app.is_running

    def set_ports(self, ports: Iterable[Any]) -> None:
        """All there are."""
        self.ports = {port.port_no: port for port in ports}

    def port_changed(self, status: Any) -> None:
        """One came, went or changed.

        :param status: OFPPortStatus
        """
        if status.reason == ofp.OFPPR_DELETE:
            self.ports.pop(status.desc.port_no, None)
        else:
            self.ports[status.desc.port_no] = status.desc

    def set_xid(self, message: Any) -> int:
        """Give a message the next transaction id of the application."""
        message.xid = self._app.next_xid()
        return int(message.xid)

    def send_msg(self, message: Any, close_socket: bool = False) -> bool:
        """Send a message of os-ken's; what comes of it is told as an event.

        It gets a transaction id, unless it has one of :meth:`set_xid`.

        :returns: False when the connection is over
        :raises MessageRefused: the application may not send that
        """
        if not self._app.is_running:
            raise MessageRefused(f"application {self._app.module} is {self._app.state}: {self._app.reason}")
        xid = getattr(message, "xid", None)
        if xid is None or app_of(xid) != self._app.number:
            xid = self.set_xid(message)
        encoded = messages.encoded(message, xid)
        if messages.xid_of(encoded) != xid:
            raise MessageRefused(f"{self.name} is not sent a message with a transaction id of its own making")
        why = "the connection is the controller's" if close_socket else refusal(encoded, self.cookie)
        if why is not None:
            raise MessageRefused(f"{self.name} is not sent that: {why}")
        self._app.wait_turn()
        if encoded[1] == ofp.OFPT_FLOW_MOD:
            self._changing(self.name)
        try:
            self._session.send_bytes(encoded)
        except OpenFlowError:
            return False
        return True

    def send_barrier(self) -> bool:
        """Send OFPT_BARRIER_REQUEST."""
        return self.send_msg(self.ofproto_parser.OFPBarrierRequest(self))

    def send(self, _data: bytes, close_socket: bool = False) -> NoReturn:
        """As of os-ken's ``Datapath``: bytes.

        :raises MessageRefused: always
        """
        raise MessageRefused(f"{self.name} is not sent bytes: send_msg() takes messages")

    def close(self) -> NoReturn:
        """As of os-ken's ``Datapath``.

        :raises MessageRefused: always
        """
        raise MessageRefused(f"{self.name} is not closed: the connection is the controller's")
