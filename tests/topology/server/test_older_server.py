"""A topology server of an older version, whose schema lacks a table."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.host_registry import read_hosts
from topology.database.topology_database import DATABASE, SCHEMA, TopologyDatabase
from topology.errors import TopologyUnavailable
from topology.source import TopologyBatch


@pytest.fixture
def older(stopped_server: OvsdbServer) -> OvsdbServer:
    """A server with the schema of version 1.0.0."""
    schema = json.loads(SCHEMA.read_text())
    del schema["tables"]["Topology"]
    file = stopped_server.directory / "schema"
    file.write_text(json.dumps({**schema, "version": "1.0.0"}))
    stopped_server.file.unlink()
    subprocess.run(["ovsdb-tool", "create", stopped_server.file, file], check=True)
    return stopped_server.start()


def test_it_is_said_once_and_followed_once_it_is_upgraded(older: OvsdbServer, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is told before, and what it may be asked fails at once; then it is followed without any help."""
    database, batches = TopologyDatabase(older.connection), list[TopologyBatch]()
    database.start(batches.append)
    try:
        wait_until(lambda: "cannot be followed" in caplog.text, 10, "it is said")
        assert "no table named Topology" in caplog.text and "upgrade" in caplog.text
        assert (database.connected, database.reached) == (False, False)
        with pytest.raises(TopologyUnavailable):
            database.heartbeat("h1")
        assert read_hosts(older.connection).hosts == (), "what needs no more of the schema can be asked"
        older.kill()
        subprocess.run(["ovsdb-tool", "convert", older.file, SCHEMA], check=True)
        older.start()
        wait_until(lambda: database.connected, 20, "it is followed")
        assert [batch.complete for batch in batches] == [True]
        assert caplog.text.count("cannot be followed") == 1
    finally:
        database.stop()
    assert DATABASE in caplog.text
