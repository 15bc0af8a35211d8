"""Another release of the controller, and this one again: ports stay in the local VLANs that they have.

With real packets, and what goes before what: tests/e2e/test_faults_upgrade.py, most of it in the long tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.lab.releases import RELEASES, Release

pytestmark = pytest.mark.one_hub


@pytest.mark.parametrize("release", [pytest.param(release, id=release.name) for release in RELEASES])
def test_local_vlans_stay(ovs: OvsHost, hub: str, tmp_path: Path, report_logs: list[Path], release: Release) -> None:
    """Whatever either writes beside the tag, and finds there of the other."""
    with Tunbridge(ovs, hub=hub) as controller:
        report_logs.append(controller.log)
        host = Host(ovs, controller)
        ports = [new_port(new_network()) for _ in range(3)]
        host.add_networks(*(port.network for port in ports))
        for port in reversed(ports):
            host.wire(port)
        tags, other = ovs.tags(), release.make(tmp_path / "release")
        rows = [ovs.row("Port", port.name) for port in ports]
        for root in (other, ROOT):
            controller.stop()
            controller.root = root
            controller.start()
            for port in ports:
                host.wait_active(port)
            controller.wait_in_sync()
            assert ovs.tags() == tags
        assert [ovs.row("Port", port.name) for port in ports] == rows
