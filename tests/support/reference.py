"""The reference host: one VM, a DHCP device and a gateway device on one GRE network.

Every identifier is fixed, so that flow tables can be compared as text.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.host.ovs import Device, OvsHost

DOCUMENT = Path(__file__).parents[2] / "examples" / "demo.yaml"
"""The topology of the reference host."""

NETWORK_ID = "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"
TUNNEL_ID = 2
LOCAL_VLAN = 1

GATEWAY = Device(
    "qr-0e2dfa90-d3",
    "0e2dfa90-d3c8-4938-b35f-e85ed71d0270",
    "fa:16:3e:2a:6e:1c",
    external_ids={"iface-status": "active"},
)
DHCP = Device(
    "tap3f1f785c-70",
    "3f1f785c-7015-46c4-95ba-9efd6cd323d0",
    "fa:16:3e:b6:fc:21",
    external_ids={"iface-status": "active"},
)
VM = Device(
    "qvo99f91280-a0",
    "99f91280-a060-442e-90b0-d8324e50efc8",
    "fa:16:3e:02:dd:79",
    external_ids={"iface-status": "active", "vm-uuid": "50ab650a-289c-4b84-b9f6-9e6c93516a4b"},
)
DEVICES = (GATEWAY, DHCP, VM)
OFPORTS = {GATEWAY.name: 1, DHCP.name: 2, VM.name: 5}
PATCH_TUN_OFPORT = 6
PATCH_INT_OFPORT = 1


def reference_host(ovs: OvsHost) -> None:
    """Make br-int with the three devices on ofports 1, 2 and 5, so that the next port added gets 6.

    Open vSwitch gives a new port the number after the one that it gave last, passing over numbers in use; numbers that
    were requested do not move that mark. So nothing is requested here: as on the host that this one is modelled on, two
    devices with ofports 3 and 4 came before the VM's and went away. The mark then stands at 5. ``patch-tun`` is left to
    the controller, and gets 6; br-tun is too, where ``patch-int`` is the first port and gets 1.
    """
    ovs.vsctl("add-br", "br-int")
    gone = [Device("tapgone-0"), Device("tapgone-1")]
    for device in (GATEWAY, DHCP, *gone, VM):  # one by one: in one transaction the order of the numbers is arbitrary
        ovs.plug_many([device])
    ovs.unplug(*(device.name for device in gone))
    ofports = {name: ovs.ofport(name) for name in OFPORTS}
    assert ofports == OFPORTS, f"this Open vSwitch hands out ofports in another way: {ofports}"
