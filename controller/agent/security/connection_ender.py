"""Ends the connections that rules do not allow any more, and no others, in a worker of its own.

The datapath may track hundreds of thousands; listing them takes ovs-vswitchd time. So zones are looked through only
when less is allowed in them, several changes at once, and with a rest in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from os_ken.lib import hub

from controller.agent.security.concerned_zones import ConcernedZone
from controller.agent.security.connection_rules import ConnectionRules
from controller.openflow.channel.session import Session
from controller.openflow.wire.echo_end import echo_end
from controller.runtime.backoff import Backoff
from controller.runtime.host_events import CONNECTIONS_ENDED
from controller.runtime.worker import Worker
from controller.vswitch.control.tracked_connections import ICMPV6, Connection, TrackedConnections
from controller.vswitch.control.vswitchd_client import VSwitchdClient
from topology.errors import OpenFlowError, VSwitchError, VSwitchUnavailable

LOG = logging.getLogger(__name__)

_BREATH = 200
"""Connections that are judged before other threads have a turn."""


class ConnectionEnder(Worker[int, ConcernedZone]):
    """Looks through zones of conntrack.

    :param connection: ``[ovs] ovsdb_connection``
    :param datapath_type: ``[ovs] datapath_type``
    :param session: the connection of br-int, where there is one
    """

    backoff = Backoff(1.0, 60.0)
    rest = 1.0
    drains = False  # whoever starts next looks through all zones

    def __init__(self, connection: str, datapath_type: str, session: Callable[[], Session | None]) -> None:
        super().__init__("end of connections")
        self.ended = 0
        """Connections ended since the start."""
        self.problem: str | None = None
        """Why connections that are not allowed any more may live on, None: they do not."""
        self._connection = connection
        self._datapath_type = datapath_type
        self._session = session

    def _do(self, batch: Mapping[int, ConcernedZone]) -> None:
        if not batch:
            return
        try:
            with VSwitchdClient(self._connection) as client:
                conntrack = TrackedConnections(client, self._datapath_type)
                again = {
                    vlan: replace(zone, looks_again=False)
                    for vlan, zone in batch.items()
                    if self._look_through(conntrack, vlan, zone) or zone.looks_again
                }
        except VSwitchUnavailable as error:
            self.problem = f"connections that are not allowed any more are not ended: {error}"
            raise
        except VSwitchError as error:
            self.problem = f"connections that are not allowed any more are not ended: {error}"
            LOG.error("%s", self.problem)
            return
        self.problem = None
        # What the datapath has cached of the flows before may begin a connection anew until it is revalidated.
        if again:
            self._queue.put_back(again)

    def _look_through(self, conntrack: TrackedConnections, vlan: int, zone: ConcernedZone) -> bool:
        """End what is not allowed; whether there was anything."""
        if zone.network_id is None:
            conntrack.end_all(vlan)
            return False
        view = zone.view()
        if zone.network_id not in view.networks:
            return False
        rules, unallowed = ConnectionRules(view, zone.network_id), list[Connection]()
        for number, connection in enumerate(conntrack.of_zone(vlan), start=1):
            if not rules.allows(connection):
                unallowed.append(connection)
            if not number % _BREATH:
                hub.sleep(0)
        for connection in unallowed:
            self._end(conntrack, vlan, connection)
        if unallowed:
            self.ended += len(unallowed)
            event = CONNECTIONS_ENDED.of(network=zone.network_id, vlan=vlan, connections=len(unallowed))
            LOG.info("network %s: %d connections are not allowed any more and were ended", zone.network_id,
                     len(unallowed), extra=event)  # fmt: skip
        return bool(unallowed)

    def _end(self, conntrack: TrackedConnections, vlan: int, connection: Connection) -> None:
        if connection.protocol != ICMPV6:
            conntrack.end(vlan, connection)
            return
        session = self._session()
        if session is None:
            raise VSwitchUnavailable("br-int is not connected")
        try:
            session.send_msg(echo_end(vlan, connection.source, connection.destination, connection.first or 0))
        except OpenFlowError as error:
            raise VSwitchUnavailable(str(error)) from None
