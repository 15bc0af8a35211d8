"""Which connection is which bridge, and which ports the bridges have.

A session is let in when its datapath id is that of a bridge of ours, and its serial number the one that this bridge was
given (:mod:`controller.vswitch.bridge_proof`); until the local OVSDB has told both it waits, and its own time limit
ends it. So whoever connects anew with the right one is the bridge, and what was its connection before is over, noticed
or not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from os_ken.ofproto.ofproto_v1_3 import OFPP_MAX

from controller.openflow.channel.limits import MAX_PORTS
from controller.openflow.channel.session import Session
from controller.openflow.wire.messages import PortDesc
from controller.runtime.host_events import BRIDGE_CONNECTED, BRIDGE_TWIN
from controller.vswitch.bridge_proof import KEY, shows
from topology.errors import OpenFlowError

LOG = logging.getLogger(__name__)


class BridgeSessions:
    """The bridges of this host as OpenFlow shows them.

    :param bridges: names, the most important first
    """

    def __init__(self, bridges: tuple[str, ...]) -> None:
        self.ids: dict[str, int] = {}
        """Bridge → datapath id, of all bridges of this machine."""
        self.serials: dict[str, str] = {}
        """Bridge → serial number that it was given."""
        self.twins: Mapping[str, str] = {}
        """Bridge that is not served, since another has its datapath id → that, in words; never changed."""
        self.sessions: dict[str, Session] = {}
        """Bridge → its connection."""
        self.ports: dict[str, dict[str, int]] = {}
        """Bridge → name of a port → ofport; a bridge is absent until it has told its ports. Kept over connections."""
        self._bridges = bridges
        self._unknown: dict[Session, None] = {}
        """Sessions that are not let in yet."""
        self._has_news = False

    def bridge_of(self, session: Session) -> str | None:
        """The bridge that a session is the connection of."""
        return next((name for name, current in self.sessions.items() if current is session), None)

    def set_ids(self, ids: Mapping[str, int], serials: Mapping[str, str]) -> None:
        """The local OVSDB told the datapath ids and serial numbers."""
        if (ids, serials) == (self.ids, self.serials):
            return
        self.ids, self.serials = dict(ids), dict(serials)
        self._find_twins()
        self._has_news = True

    def identified(self, session: Session) -> None:
        """A switch connected and told its datapath id and serial number; as long as it waits it is asked again."""
        if session.is_accepted:
            return
        self._unknown[session] = None
        self._has_news = True

    def closed(self, session: Session) -> str | None:
        """A connection is over.

        :returns: the bridge that it was of
        """
        self._unknown.pop(session, None)
        name = self.bridge_of(session)
        if name is not None:
            del self.sessions[name]
        return name

    def ports_listed(self, session: Session, ports: Iterable[PortDesc]) -> str | None:
        """A bridge told all its ports.

        :returns: its name, None for a session that is no bridge of ours any more
        """
        name = self.bridge_of(session)
        if name is not None:
            self.ports[name] = {port.name: port.port_no for port in ports if port.port_no < OFPP_MAX}
        return name

    def port_seen(self, session: Session, port: PortDesc, present: bool) -> str | None:
        """A port came or went.

        :returns: the name of its bridge, None where nothing changed
        """
        name = self.bridge_of(session)
        if name is None or port.port_no >= OFPP_MAX:
            return None
        ports = self.ports.setdefault(name, {})
        if present and len(ports) >= MAX_PORTS and port.name not in ports:
            session.close(f"a bridge with more than {MAX_PORTS} ports cannot be")
        elif present:
            ports[port.name] = port.port_no
        elif ports.get(port.name) == port.port_no:  # else the name is another port's by now
            del ports[port.name]
        return name

    def ofport(self, bridge: str, port: str) -> int | None:
        """The number of a port of a bridge, None while there is none."""
        return self.ports.get(bridge, {}).get(port)

    def _find_twins(self) -> None:
        """Find bridges whose datapath id another one has that is more important."""
        owners: dict[int, str] = {}
        twins = {}
        for name in self._bridges:
            datapath_id = self.ids.get(name)
            if datapath_id is None or (first := owners.setdefault(datapath_id, name)) == name:
                continue
            twins[name] = (
                f"bridges {first} and {name} have the same datapath id {datapath_id:016x}, only the first is served: "
                f"give one another with `ovs-vsctl set bridge {name} other_config:datapath-id=…`"
            )
            if self.twins.get(name) != twins[name]:
                LOG.error("%s", twins[name], extra=BRIDGE_TWIN.of(bridge=name, reason=twins[name]))
        self.twins = twins

    def _is_twin(self, bridge: str, session: Session) -> bool:
        """Whether a session is not this bridge but one that has its datapath id, of which that has been said."""
        serials = {self.serials[name] for name in self.twins if name in self.serials} - {self.serials.get(bridge)}
        return any(shows(serial, session.handshake.serial) for serial in serials)

    def admit(self, accepted: Callable[[Session], None]) -> None:
        """Let in who is a bridge of ours, and close what is one no more.

        :param accepted: is told of each session that is let in
        """
        if not self._has_news:
            return
        self._has_news = False
        bridges = {self.ids[name]: name for name in reversed(self._bridges) if name in self.ids}
        for name, session in list(self.sessions.items()):
            if name in self.ids and bridges.get(session.datapath_id or 0) != name:
                session.close(f"bridge {name} now has datapath id {self.ids[name]:016x}")
        for session in list(self._unknown):
            bridge = bridges.get(session.datapath_id or 0)
            if bridge is None:
                continue
            if self._is_twin(bridge, session):  # each time it connects
                del self._unknown[session]
                session.close()
            elif session.bridge not in (None, bridge):
                del self._unknown[session]
                session.close(f"it came by the socket of bridge {session.bridge} with the datapath id of {bridge}")
            elif self._is_shown(bridge, session):
                del self._unknown[session]
                self._accept(bridge, session, accepted)

    def _is_shown(self, bridge: str, session: Session) -> bool:
        """Whether a session is the bridge that its datapath id is of."""
        serial = self.serials.get(bridge)
        if serial is None:
            session.handshake.doubt = f"bridge {bridge} has no other_config:{KEY} yet, so nobody can show to be it"
        elif not shows(serial, session.handshake.serial):
            session.handshake.doubt = (
                f"it says to be bridge {bridge}, and does not show other_config:{KEY} of that bridge"
            )
        else:
            return True
        return False

    def _accept(self, name: str, session: Session, accepted: Callable[[Session], None]) -> None:
        old = self.sessions.get(name)
        if old is not None:
            old.close(f"bridge {name} has connected anew")
        try:
            session.accept(name)
        except OpenFlowError as error:
            LOG.warning("%s", error)
            return
        event = BRIDGE_CONNECTED.of(bridge=name, datapath_id=f"{session.datapath_id:016x}", peer=session.peer)
        LOG.info("bridge %s connected (datapath %016x at %s)", name, session.datapath_id, session.peer, extra=event)
        self.sessions[name] = session
        accepted(session)
