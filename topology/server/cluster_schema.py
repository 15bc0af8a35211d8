"""The schema of a running cluster, brought to that of this release: no member's file can be converted by itself."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import ovs.db.error
from ovs.db.schema import DbSchema

from topology.database.tables import DATABASE, SCHEMA
from topology.errors import TopologyError
from topology.server.backup import backup
from topology.server.database_file import version_order
from topology.server.ovsdb_tools import ovsdb_client

LOG = logging.getLogger(__name__)

_INTERVAL = 2.0
"""Seconds between attempts, while the member has not found its cluster or that has no majority."""


def bring_to_schema(connection: str, folder: Path, stopping: threading.Event) -> None:
    """Convert the cluster where its schema is an older one; returns when it is not, or ``stopping`` is set.

    Clients of older releases go on with the tables and columns that they know. A copy of what there was is kept, as
    ``topology.db.VERSION``. A newer schema stays: the members of a release are started one after the other.

    :param connection: of the member of this host
    :param folder: where the copy goes
    """
    complaint = ""
    while True:
        try:
            if _converted(connection, folder):
                return
        except TopologyError as error:
            if str(error) != complaint:
                LOG.debug("the schema of the cluster is not known yet: %s", error)
            complaint = str(error)
        if stopping.wait(_INTERVAL):
            return


def _converted(connection: str, folder: Path) -> bool:
    """Whether there is nothing to be done any more."""
    ours = json.loads(SCHEMA.read_text())["version"]
    try:
        stored = DbSchema.from_json(
            json.loads(ovsdb_client("get-schema", connection, DATABASE, leader_only=False))
        ).version
    except (ovs.db.error.Error, ValueError) as error:
        raise TopologyError(f"it cannot be read: {error}") from None
    if version_order(stored) >= version_order(ours):
        return True
    copy = folder / f"topology.db.{stored}"
    backup(connection, copy, leader_only=False)
    try:
        ovsdb_client("convert", connection, SCHEMA, leader_only=False)
    except TopologyError as error:
        LOG.error("the cluster cannot be converted from schema version %s to %s: %s", stored, ours, error)
        raise
    LOG.info("converted the cluster from schema version %s to %s; %s is a copy as it was", stored, ours, copy)
    return True
