"""What runs on a host, back into a topology database that was restored from a backup; in one transaction."""

from __future__ import annotations

from typing import Any

from topology.database import host_registry, revision
from topology.database.assembler import Assembler
from topology.database.plan_writer import PlanWriter
from topology.ovsdb.edit import Edit
from topology.planning import Plan
from topology.planning.restoring import Taken, select
from topology.source import WriteBack


def write_back(edit: Edit, assembler: Assembler, wanted: WriteBack) -> dict[str, str]:
    """Write all that can be written.

    A claim of another host on one of the ports is taken away: it is from before the port came here.

    :returns: id, of a host its name → why it could not
    """
    networks, ports, refused = select(wanted.networks, wanted.ports, _taken(edit, assembler))
    claims = [row for row in edit.rows("Port").values() if row.id in ports]
    for row in claims:
        if row.host and row.host != _host(ports[row.id].host):
            edit.set(row, host=[])
    PlanWriter(edit, assembler).write(Plan(networks, ports, frozenset(), frozenset(), (), ()))
    for name, host in wanted.hosts.items():
        reason = host_registry.put_back(edit, host)
        if reason is not None:
            refused[name] = reason
    renewed = wanted.renew is not None and revision.renew(edit, wanted.renew)
    if (networks or ports) and not renewed:
        revision.advance(edit)
    return refused


def _host(name: str | None) -> list[str]:
    return [name] if name else []


def _taken(edit: Edit, assembler: Assembler) -> Taken:
    network_of_segment: dict[Any, str] = {}
    network_of_subnet: dict[Any, str] = {}
    for network in edit.rows("Network").values():
        network_of_segment.update({segment.uuid: network.id for segment in network.segments})
        network_of_subnet.update({subnet.uuid: network.id for subnet in network.subnets})
    ports = list(edit.rows("Port").values())
    port_of_address = {part.uuid: port.id for port in ports for part in port.fixed_ips}
    return Taken(
        networks=frozenset(row.id for row in edit.rows("Network").values()),
        segments={
            (row.physical_network, row.segmentation_id): network_of_segment.get(row.uuid)
            for row in edit.rows("Segment").values()
        },
        subnets={row.id: network_of_subnet.get(row.uuid) for row in edit.rows("Subnet").values()},
        macs={(port.network.id, port.mac_address): port.id for port in ports},
        addresses={
            (row.subnet.id, row.ip_address): port_of_address.get(row.uuid) for row in edit.rows("IpAllocation").values()
        },
        broken=frozenset(port.id for port in ports if assembler.row_of("Port", port.id) is None),
    )
