"""A host that follows what concerns it, on a cluster whose leader changes."""

from __future__ import annotations

from tests.support.cluster import Cluster
from tests.topology.database.test_host_scope import HOST, View, four_networks, numbers, uid
from tests.topology.ovsdb import OvsdbServer
from topology.database.host_scope import HostScope


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
