"""A topology server of an older version, whose schema lacks a table."""

from __future__ import annotations

import json
import re
import subprocess
import uuid

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.host_registry import read_hosts
from topology.database.topology_database import DATABASE, SCHEMA, TopologyDatabase
from topology.errors import TopologyUnavailable
from topology.ovsdb.one_shot import opened
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


def test_what_its_schema_does_not_forbid_is_read_within_bounds(stopped_server: OvsdbServer) -> None:
    """A row with a text without end is named and absent; all others are there."""
    unbounded = re.sub(r', "maxLength": \d+', "", SCHEMA.read_text())
    file = stopped_server.directory / "schema"
    file.write_text(unbounded)
    stopped_server.file.unlink()
    subprocess.run(["ovsdb-tool", "create", stopped_server.file, file], check=True)
    server = stopped_server.start()
    long = "x" * 5_000
    network, good = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
    server.write(
        {"op": "insert", "table": "Network", "row": {"id": network, "network_type": "local", "name": long}},
        {"op": "insert", "table": "Host", "row": {"name": long}},
        {"op": "insert", "table": "Host", "row": {"name": "h2", "version": long}},
        {"op": "insert", "table": "Host", "row": {"name": "h1"}},
    )
    server.write(*network_operations(good, subnet_id=str(uuid.uuid4()), name="fine"))
    reference = ["uuid", server.rows("Network", "_uuid", "id")[-1]["_uuid"][1]]
    for column in ("name", "device_id", "device_owner"):
        server.write(
            port_operation(str(uuid.uuid4()), reference, f"fa:16:3e:00:00:{len(column):02x}", **{column: long})
        )
    server.write({"op": "update", "table": "Subnet", "where": [], "row": {"name": long}})
    with opened(TopologyDatabase(server.connection), 10) as batch:
        assert (list(batch.networks), list(batch.ports), list(batch.hosts)) == ([good], [], ["h1"])
        assert batch.networks[good] is not None and batch.networks[good].subnets == ()
        columns = sorted(problem.reason.partition(": has 5000 characters")[0] for problem in batch.problems)
        assert columns == ["device_id", "device_owner", "name", "name", "name", "name", "version"]
