"""What ``tunbridge export`` prints: the topology, read once."""

from __future__ import annotations

from controller.config import Config
from topology.documents.writer import write_document
from topology.errors import TopologyError
from topology.ovsdb.database import TopologyDatabase
from topology.ovsdb.one_shot import opened

_TIMEOUT = 10.0
"""Seconds to wait for the topology database."""


def export(config: Config) -> str:
    """The topology as YAML.

    :raises TopologyUnavailable: the topology database does not answer
    :raises TopologyError: a row is broken, so that the document would lack something
    """
    database = TopologyDatabase(config.topology_connection, config.topology.tls)
    with opened(database, _TIMEOUT) as batch:
        for problem in batch.problems:
            raise TopologyError(f"{problem.where} is broken, and what it stands for would be missing: {problem.reason}")
        networks = [network for network in batch.networks.values() if network is not None]
        return write_document(networks, [port for port in batch.ports.values() if port is not None])
