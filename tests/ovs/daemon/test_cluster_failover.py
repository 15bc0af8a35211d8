"""A controller whose topology database is a cluster: it follows the leader, and binding goes on when that is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, TopologyHost, dump
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

PORTS = [f"99f91280-a060-442e-90b0-d8324e50efc{number}" for number in range(4)]
DOCUMENT = {
    "networks": [
        {
            "id": "c4d8b48b-6ff7-43b6-a203-8f1192a16f07",
            "provider:network_type": "gre",
            "provider:segmentation_id": 2,
            "ports": [{"id": port} for port in PORTS],
        }
    ]
}


@pytest.mark.one_hub
def test_binding_goes_on_when_leaders_are_killed(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Each time by the next leader, which the status names; what was bound stays as it is."""
    with Cluster() as cluster:
        controller = tunbridge(options={"topology": {"connection": cluster.connection}})
        controller.apply(DOCUMENT)
        ovs.plug("tap0", PORTS[0])
        controller.wait_device("tap0", status="ACTIVE")
        for number in (1, 2):
            leader = cluster.leader()
            assert controller.quick_status()["topology"]["server"] == leader.connection
            leader.kill()
            ovs.plug(f"tap{number}", PORTS[number])
            controller.wait_device(f"tap{number}", status="ACTIVE")
            _wait_active(cluster, PORTS[: number + 1])
            leader.start()
            cluster.wait_whole()
        follower = cluster.followers()[0]
        server = controller.quick_status()["topology"]["server"]
        follower.kill()
        ovs.plug("tap3", PORTS[3])
        controller.wait_device("tap3", status="ACTIVE")
        assert controller.quick_status()["topology"]["server"] == server == cluster.leader().connection
        assert f"Topology {cluster.connection}: connected to {server}\n" in controller.command("status")
        assert controller.flows("br-int", "diff") + controller.flows("br-tun", "diff") == []
        hosts = [row["name"] for row in dump(cluster.leader().connection)["Host"]]
        assert hosts == ["host1"]


@pytest.mark.one_hub
def test_a_controller_goes_on_over_the_change_to_a_cluster_and_back(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path
) -> None:
    """It names all servers from the beginning; no flow is touched, and nothing is taken for an older copy."""
    first, second = (TopologyHost(tmp_path / name) for name in "ab")
    first.start()
    try:
        connection = f"{first.connection},{second.connection}"
        controller = tunbridge(options={"topology": {"connection": connection}})
        controller.apply(DOCUMENT)
        ovs.plug("tap0", PORTS[0])
        controller.wait_device("tap0", status="ACTIVE")
        flow_mods = controller.wait_in_sync()["counters"]["flow_mods"]

        def changed(*commands: tuple[TopologyHost, str, str]) -> None:
            first.stop()
            second.stop()
            wait_until(lambda: not controller.quick_status()["topology"]["connected"], 60, "the database is away")
            for one, command, argument in commands:
                one.command(command, *argument.split())
                one.start()
            wait_until(lambda: controller.quick_status()["topology"]["connected"], 60, "it is there again")
            assert controller.wait_in_sync()["counters"]["flow_mods"] == flow_mods

        changed((first, "create-cluster", f"--from {first.file}"), (second, "join-cluster", first.address))
        wait_until(lambda: (found := second.cluster) and found.serves, 60, "two members")
        changed((second, "to-standalone", str(second.file)))
        assert controller.quick_status()["topology"]["server"] == second.connection
        assert "older copy" not in controller.log_text()
        ovs.plug("tap1", PORTS[1])
        controller.wait_device("tap1", status="ACTIVE")
    finally:
        first.kill()
        second.kill()


def _wait_active(cluster: Cluster, ports: list[str]) -> None:
    """The topology has them as up, and bound by this host."""

    def active() -> bool:
        rows = {row["id"]: row for row in dump(cluster.leader().connection)["Port"]}
        return all((rows[port]["status"], rows[port]["host"]) == ("ACTIVE", "host1") for port in ports)

    wait_until(active, 60, f"{ports} are ACTIVE in the topology")
