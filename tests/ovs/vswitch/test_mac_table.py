"""How many addresses br-int and br-tun learn, as Open vSwitch itself says it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub


def sizes(ovs: OvsHost) -> dict[str, int]:
    """Bridge → addresses that it learns at most."""
    told = {name: ovs.appctl("fdb/stats-show", name) for name in ovs.vsctl("list-br").split()}
    return {name: int(re.findall(r"MAC entries in the table *: *\d+/(\d+)", text)[0]) for name, text in told.items()}


@pytest.mark.parametrize(("options", "size"), [({}, 50000), ({"bridge_mac_table_size": 20000}, 20000)])
def test_both_have_the_size_of_the_configuration(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], options: dict[str, object], size: int
) -> None:
    """A bridge that was there before, and one that is made; what others change is put right, and told."""
    ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "other_config:mac-aging-time=60")
    ovs.vsctl("add-br", "br-x")
    controller = tunbridge(options={"ovs": options})
    controller.wait_in_sync()
    right = {"br-int": size, "br-tun": size, "br-x": 8192}
    wait_until(lambda: sizes(ovs) == right, 20, lambda: str(sizes(ovs)))
    ovs.vsctl("remove", "Bridge", "br-int", "other_config", "mac-table-size")
    ovs.vsctl("set", "Bridge", "br-tun", "other_config:mac-table-size=100")
    wait_until(lambda: sizes(ovs) == right, 20, lambda: str(sizes(ovs)))
    controller.wait_log(f"WARNING controller.vswitch.setup_worker bridge br-int: other_config:mac-table-size={size}")
    config = ovs.row("Bridge", "br-int")["other_config"]
    assert isinstance(config, dict) and config["mac-aging-time"] == "60"
