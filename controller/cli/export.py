"""What ``tunbridge export`` prints: the topology, read once."""

from __future__ import annotations

from controller.config.config import Config
from topology.database.snapshot import read_topology
from topology.documents.writer import write_document
from topology.errors import TopologyError

_TIMEOUT = 10.0
"""Seconds to wait for the topology database."""


def export(config: Config) -> str:
    """The topology as YAML.

    :raises TopologyUnavailable: the topology database does not answer
    :raises TopologyError: a row is broken, so that the document would lack something
    """
    found = read_topology(config.topology_connection, _TIMEOUT, config.topology.tls)
    for problem in found.batch.problems:
        raise TopologyError(f"{problem.where} is broken, and what it stands for would be missing: {problem.reason}")
    networks = [network for network in found.batch.networks.values() if network is not None]
    ports = [port for port in found.batch.ports.values() if port is not None]
    return write_document(networks, ports, found.stored)
