"""The commands by which the Grizzly agent wires a port, one process each, to compare with on the same switch."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.support.host.ovs import Device, OvsHost

_TUNNEL_ID, _LOCAL_VLAN = 4000, 4000


def seconds_per_port(ovs: OvsHost, devices: Iterable[Device], patch_int: int) -> list[float]:
    """Wire devices that are plugged already; the seconds that each took.

    Flows and tags are left as they are; no controller may run meanwhile.
    """
    network = [
        f"priority=4,in_port={patch_int},dl_vlan={_LOCAL_VLAN},actions=set_field:{_TUNNEL_ID}->tun_id,normal",
        f"priority=3,tun_id={_TUNNEL_ID},dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,"
        f"actions=load:{_LOCAL_VLAN}->NXM_OF_VLAN_TCI[0..11],load:1->NXM_OF_VLAN_TCI[12],output:{patch_int}",
    ]
    for flow in network:
        ovs.ofctl("add-flow", "br-tun", f"hard_timeout=0,idle_timeout=0,{flow}")
    taken = []
    for device in devices:
        started = time.monotonic()
        ovs.vsctl("get", "Interface", device.name, "external_ids")
        ovs.vsctl(
            "--format=json", "--columns=name,ofport,external_ids",
            "find", "Interface", f"external_ids:iface-id={device.port_id}",
        )  # fmt: skip
        ovs.ofctl(
            "add-flow", "br-tun",
            f"hard_timeout=0,idle_timeout=0,priority=3,tun_id={_TUNNEL_ID},dl_dst={device.mac},"
            f"actions=load:{_LOCAL_VLAN}->NXM_OF_VLAN_TCI[0..11],load:1->NXM_OF_VLAN_TCI[12],normal",
        )  # fmt: skip
        ovs.vsctl("set", "Port", device.name, f"tag={_LOCAL_VLAN}")
        ovs.ofctl("del-flows", "br-int", f"in_port={ovs.ofport(device.name)}")
        taken.append(time.monotonic() - started)
    return taken
