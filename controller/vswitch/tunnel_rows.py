"""What Open vSwitch says of the ways to other hosts, in the rows of tunnel ports.

They are followed by a connection of their own, whose condition no other row meets: with their columns for all, Open
vSwitch would tell the state of each device's link, which nobody asks for, and that with every plug.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.vswitch.interface_rows import TUNNEL_TYPES
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles

_COLUMNS = ("name", "type", "status", "link_state", "bfd_status")


@dataclass(frozen=True)
class TunnelWay:
    """The way of one tunnel to its other end (ovs-vswitchd.conf.db(5), Interface, "status" and "BFD").

    :param type: of the port
    :param egress: network device that packets leave by; empty: there is no route
    :param has_link: of that device
    :param bfd_state: by BFD, where somebody has switched it on for this port
    """

    type: str
    egress: str = ""
    has_link: bool = True
    bfd_state: str | None = None


@dataclass(frozen=True)
class Underlay:
    """What is known of the network between hosts.

    :param ways: by name of the tunnel port
    :param mtus: network device → bytes of an IP packet, of those that packets leave by, where that can be found out
    """

    ways: Mapping[str, TunnelWay] = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)


class TunnelRows(Replica[Mapping[str, TunnelWay]]):
    """Tells the ways of all tunnel ports, whenever one is another; of those that Open vSwitch has made.

    :param connection: ``[ovs] ovsdb_connection``
    :param tls: certificates, where that is TLS
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(self, connection: str, tls: TlsFiles | None = None) -> None:
        self._ways: dict[uuid.UUID, tuple[str, TunnelWay]] = {}
        self._is_dummy = False
        super().__init__(
            connection,
            "Open_vSwitch",
            tables={"Interface": _COLUMNS, "Open_vSwitch": ("iface_types",)},
            convert=self._told,
            tls=tls,
            conditions={"Interface": [("type", "==", kind) for kind in sorted(TUNNEL_TYPES)]},
            quiet=True,
        )

    def _told(self, changes: RowChanges) -> Mapping[str, TunnelWay] | None:
        for row in changes.rows.get("Open_vSwitch", {}).values():
            self._is_dummy = row is not None and "dummy" in row.iface_types  # which sends no packet, and has no routes
        before = self._ways
        self._ways = {} if changes.complete or self._is_dummy else dict(before)
        interfaces = {} if self._is_dummy else changes.rows.get("Interface", {})
        for identity, row in interfaces.items():
            self._ways.pop(identity, None)
            # a server without conditional monitoring sends all rows; before there is a link_state, nothing is said yet
            if row is not None and row.type in TUNNEL_TYPES and row.link_state:
                self._ways[identity] = row.name, _way(row)
        return dict(self._ways.values()) if changes.complete or self._ways != before else None


def _way(row: Any) -> TunnelWay:
    egress = row.status.get("tunnel_egress_iface", "")
    has_link = row.status.get("tunnel_egress_iface_carrier") != "down"
    return TunnelWay(row.type, egress, has_link, row.bfd_status.get("state"))
