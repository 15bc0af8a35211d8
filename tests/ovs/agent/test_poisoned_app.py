"""An application that raises for one port: that port is set aside with the reason, all others are served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.poisoned_controller import POISON
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge

pytestmark = pytest.mark.one_hub

PROGRAM = "tests.support.host.poisoned_controller"
DEFECT = "ZeroDivisionError: a defect of an application"


@pytest.fixture
def poison(tmp_path: Path) -> Path:
    return tmp_path / "poison"


@pytest.fixture
def host(hub: str, poison: Path, report_logs: list[Path]) -> Iterator[Host]:
    environment = {POISON: str(poison)}
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub, environment=environment, program=PROGRAM) as tunbridge:
        report_logs += [tunbridge.log, *ovs.logs]
        tunbridge.wait_in_sync()
        yield Host(ovs, tunbridge)


def test_one_port_is_set_aside_and_tried_again(host: Host, poison: Path) -> None:
    """It comes up by itself when the application raises no more; ports plugged meanwhile come up at once."""
    network = new_network()
    host.add_networks(network)
    bad, good, later = (new_port(network) for _ in range(3))
    poison.write_text(bad.mac)
    host.add_ports(bad)
    host.ovs.plug_many([bad.device()])
    host.tunbridge.wait_device(bad.name, status="DOWN", reason=f"port {bad.id}: {DEFECT}")
    assert f"port {bad.id}: {DEFECT}" in host.tunbridge.quick_status()["problems"]
    host.tunbridge.wait_log(f"port {bad.id} gets no flows: {DEFECT}")
    host.wire(good)
    host.tunbridge.wait_log(f"trying again: port {bad.id}")
    host.wire(later)
    host.wait_flows("br-tun", bad.mac, 0)
    poison.unlink()
    host.assert_bound(bad)
    host.tunbridge.wait_in_sync()
