"""A host that follows what concerns it, on a cluster whose leader changes."""

from __future__ import annotations

import json
import subprocess

import pytest
from ovs.jsonrpc import Message

from tests.support.cluster import Cluster
from tests.topology.database.test_host_scope import HOST, View, four_networks, numbers, uid, where
from tests.topology.ovsdb import OvsdbServer
from topology.database.host_scope import HostScope
from topology.database.tables import DATABASE
from topology.ovsdb.following_idl import FollowingIdl
from topology.ovsdb.row_lookup import RowLookup


def test_nothing_is_lost_and_what_is_asked_for_meanwhile_comes() -> None:
    """Each port of the host is known all the time, and one that is plugged without a leader once there is one."""
    with OvsdbServer() as server:
        four_networks(server.start())
        with Cluster(3, server.file) as cluster:
            view = View(cluster.connection, HostScope(HOST))
            view.follow(uid("c1", 11))
            view.database.start(view.add)
            try:
                view.until(lambda: numbers(view.ports) == [11, 12, 21, 22, 31, 32], "what concerns the host")
                view.guarded = {uid("c1", 11), uid("c1", 21), uid("c1", 31)}
                count = len(view.batches)
                cluster.leader().kill()
                view.follow(uid("c1", 41), uid("c1", 99))
                view.until(lambda: {uid("c1", 41), uid("c1", 99)} <= view.answered, "an answer of the next leader")
                assert numbers(view.ports) == [11, 12, 21, 22, 31, 32, 41, 42]
                assert any(batch.complete for batch in view.batches[count:])
                assert not view.lost
            finally:
                view.database.stop()


def test_a_connection_that_is_lost_while_a_port_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was looked up and deleted before the conditions were in force: the server never told of it, and tells
    whoever comes back what has changed since."""
    with OvsdbServer() as server:
        four_networks(server.start())
        with Cluster(1, server.file) as cluster:
            view = View(cluster.connection, HostScope(HOST))
            send_conditions, taken_back = FollowingIdl.send_cond_change, RowLookup.withdraw
            done = list[str]()

            def send(idl: FollowingIdl) -> None:
                if idl._lookup.has_provisional and not done:
                    done.append("deleted")
                    operation = {"op": "delete", "table": "Port", "where": where(41)}
                    command = ["ovsdb-client", "transact", cluster.connection, json.dumps([DATABASE, operation])]
                    subprocess.run(command, check=True, capture_output=True)
                send_conditions(idl)

            def withdraw(lookup: RowLookup) -> Message | None:
                message = taken_back(lookup)
                if message is not None:
                    done.append("taken back")
                    lookup._idl.force_reconnect()
                return message

            monkeypatch.setattr(FollowingIdl, "send_cond_change", send)
            monkeypatch.setattr(RowLookup, "withdraw", withdraw)
            view.database.start(view.add)
            try:
                view.until(lambda: view.database.connected, "it is followed")
                view.follow(uid("c1", 41))
                view.until(lambda: uid("c1", 41) in view.answered, "an answer")
                assert done == ["deleted", "taken back"]
                assert numbers(view.ports) == [21, 22, 31, 32]
            finally:
                view.database.stop()
