"""Whether a silent server of an OVSDB is found dead; of several, whichever of them is tried first."""

from __future__ import annotations

import ovs.json
import pytest
from ovs.db.idl import SchemaHelper

from topology.database.tables import SCHEMA
from topology.ovsdb.following_idl import FollowingIdl

UNIX, TCP, SSL = "unix:/nowhere/s", "tcp:127.0.0.1:1", "ssl:127.0.0.1:1"


def _probe_interval(connection: str) -> int:
    helper = SchemaHelper(schema_json=ovs.json.from_file(str(SCHEMA)))
    helper.register_table("Topology")
    idl = FollowingIdl(connection, helper, deliver=lambda changes: None, leader_only=True)
    try:
        return int(idl._session.reconnect.get_probe_interval())
    finally:
        idl.close()


@pytest.mark.parametrize("servers", [(TCP,), (UNIX, TCP), (TCP, UNIX), (UNIX, SSL)], ids=",".join)
def test_silent_servers_are_asked(servers: tuple[str, ...]) -> None:
    """Several times, since the first one to be tried is drawn by lot."""
    assert {_probe_interval(",".join(servers)) for _ in range(10)} == {5000}


def test_a_socket_of_this_machine_is_not() -> None:
    """Its end is noticed at once."""
    assert _probe_interval(UNIX) == 0
