"""One port of a topology database, followed: for a command that works on it and has no use for all the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topology.database.assembler import Assembler
from topology.database.rows.row_index import stored_rows
from topology.database.tables import DATABASE, SCHEMA
from topology.model import Network, Port
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.rules.views import network_view
from topology.source import RowProblem

_TABLES = ("Network", "Segment", "Subnet", "Port", "IpAllocation")


HostRoutes = tuple[tuple[str, str], ...]
"""Destination (CIDR) and next hop of each of a subnet's ``host_routes``."""


@dataclass(frozen=True)
class PortDetails:
    """A port, and what its device has to know of its network.

    :param mtu: bytes
    :param host_routes: by id of the subnet
    """

    port: Port
    network: Network
    mtu: int
    host_routes: Mapping[str, HostRoutes]


@dataclass(frozen=True)
class Found:
    """What there is of a port.

    :param port: None: it is not there, or breaks a rule
    :param problems: rows that break a rule; of ports, the one that is looked for
    """

    port: PortDetails | None
    problems: tuple[RowProblem, ...]


def port_lookup(connection: str, port_id: str, tls: TlsFiles | None = None) -> Replica[Found]:
    """Follow one port; the server sends no others.

    :param connection: OVSDB connection method of the topology database
    :param port_id: canonical
    :raises ConfigError: certificates are missing or cannot be used
    """
    return Replica(
        connection,
        DATABASE,
        tables=dict.fromkeys(_TABLES, ()),
        convert=_Converter(port_id),
        schema=SCHEMA,
        tls=tls,
        conditions={"Port": (("id", "==", port_id),)},
    )


class _Converter:
    """Keeps the rows that the port is made of; called in the replica's thread."""

    def __init__(self, port_id: str) -> None:
        self._port_id = port_id
        self._assembler = Assembler()
        self._networks, self._subnets = stored_rows("network"), stored_rows("subnet")

    def __call__(self, changes: RowChanges) -> Found:
        self._networks.follow(changes)
        self._subnets.follow(changes)
        batch = self._assembler(changes)
        problems = batch.problems if batch is not None else ()
        port = self._assembler.find(Port, self._port_id)
        network = self._assembler.find(Network, port.network_id) if port is not None else None
        if port is None or network is None:
            return Found(None, problems)
        mtu = network_view(network, self._networks.values.get(network.id, {}))["mtu"]
        routes = {one.id: _host_routes(self._subnets.values.get(one.id, {})) for one in network.subnets}
        return Found(PortDetails(port, network, mtu, routes), problems)


def _host_routes(attributes: Mapping[str, Any]) -> HostRoutes:
    return tuple((route["destination"], route["nexthop"]) for route in attributes.get("host_routes", ()))
