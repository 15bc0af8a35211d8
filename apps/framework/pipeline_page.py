"""Writes docs/pipeline.md out of the declared bands and the flows that the apps really make.

A page about flows that is kept by hand is wrong after the first change. Run ``python -m
apps.framework.pipeline_page`` and put what it prints into docs/pipeline.md; a test holds that the two are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apps.framework.compiler import Compiler, Unit, UnitKind
from apps.framework.cookie import OWNER
from apps.framework.flow import Flow, FlowKey, ModVlanVid, Normal, Output, PopVlan, SetTunnel
from apps.framework.host_view import DeadPort, HostView, LocalNetwork, LocalPort, PhysicalNetwork
from apps.framework.local_vlans import DEAD_VLAN
from apps.framework.pipeline import Band, BridgeRole
from apps.framework.render import render_table
from topology.model import VLAN_MAX, VLAN_MIN, Network, NetworkType

_BRIDGES = {BridgeRole.INTEGRATION: "br-int", BridgeRole.TUNNEL: "br-tun", BridgeRole.PHYSICAL: "br-ex"}

_ABOUT = {
    BridgeRole.INTEGRATION: """\
Devices are plugged in here. Each network that has a bound port on the host is a local VLAN, the `tag` of its devices'
ports, and the bridge switches within it.""",
    BridgeRole.TUNNEL: """\
Joined to br-int by a patch (`patch-tun` there, `patch-int` here); the tunnels to other hosts end here. It turns local
VLANs into tunnel ids on the way out, and tunnel ids into local VLANs on the way in.""",
    BridgeRole.PHYSICAL: """\
One for each physical network of `[ovs] bridge_mappings`: the operator's own bridge, with the NIC in it. Joined to
br-int by a patch (`int-br-ex` there, `phy-br-ex` here). Flows of others stay.""",
}

_ACTION_NAMES = {
    SetTunnel: "`set_field` → `tun_id`",
    ModVlanVid: "`load` → VLAN id",
    PopVlan: "`pop_vlan`",
    Output: "`output`",
    Normal: "`NORMAL`",
}

_UNIT_NAMES = {
    UnitKind.BASE: "bridge",
    UnitKind.PHYSICAL_NETWORK: "physical network",
    UnitKind.DEAD_PORT: "device that is not bound",
    UnitKind.NETWORK: "network with a bound port",
    UnitKind.PORT: "bound port of a tunnelled network",
}

_HEAD = """\
<!-- Written by `python -m apps.framework.pipeline_page` out of apps/framework/pipeline.py and the apps' own flows.
Do not edit. -->

# Pipeline

What flows there are, what each does, and why. A flow that is in none of these bands is refused by the compiler before
it comes near a switch; a flow that is on the switch and not wanted is removed, after all that is wanted is in place.

The flows shown are those of one host with three networks. A GRE network, tunnel id 2, is local VLAN 1: a gateway, a
DHCP device and a VM are bound to it. A VLAN network, segmentation id 101, is local VLAN 2, and a flat network is local
VLAN 3; both are of the physical network that br-ex leads to. Device tap5ec0ffee-00 (OpenFlow port 7) is not bound.
`patch-int` is port 1 of br-tun, `int-br-ex` port 9 of br-int and `phy-br-ex` port 2 of br-ex. They are written as
`ovs-ofctl -O OpenFlow13 dump-flows --no-stats` writes them; `tunbridge flows BRIDGE` shows yours.
"""

_TAIL = f"""\
## Why the flows look like this

**The VLAN load.** `load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]` writes the VLAN id, then the bit
that says that there is a tag. It is what `mod_vlan_vid:1` of OpenFlow 1.0 did: exactly one tag with that VLAN
afterwards, whether the frame had none (current Neutron peers) or one of the peer's own (Grizzly peers), and the
priority bits of a tag stay. OpenFlow 1.3's own `push_vlan` with `set_field` would put a second tag on a frame that has
one; `set_field` alone may not be used on a frame that has none.

**`set_field:0x2->tun_id`** is the `set_tunnel:2` of OpenFlow 1.0: the key or network identifier of the tunnel, which
tunnel ports take from the flow (`out_key=flow`).

**Outbound above inbound.** A frame from `patch-int` has no tunnel id, and ids begin at 1, so no frame is in both bands;
the numbers are those that operators of this pipeline know. What neither wants falls to priority 1.

**Multicast goes to `patch-int` alone**, not to `NORMAL`: a broadcast that came out of one tunnel is never sent into
another, and the full mesh of tunnels needs no spanning tree. Of unicast, only frames to an address that is bound here
get past the drop flow. `NORMAL` is used for them because it learns, from their source, which tunnel leads to whom. It
floods such a frame while br-tun has not yet seen its destination send (or has forgotten it, after 300 s of silence);
the hosts at the other tunnels drop that copy, since the address is not theirs.

**A VLAN network** has its local VLAN on br-int and its segmentation id on the wire: the one becomes the other on the
physical bridge, and back on br-int. A flat network has no tag on the wire.

**One flow a port, two a network.** None depends on how many hosts or tunnels there are.

## What is dropped where

| frame | where | why |
| --- | --- | --- |
| from a device that is not bound | br-int, priority 2 | see band INT_DROP |
| to a device that is not bound | br-int, `NORMAL` | its tag is {DEAD_VLAN}, a VLAN in which nothing can be sent |
| to a device of another network | br-int, `NORMAL` | it is in another local VLAN |
| from br-int, of a network that is not tunnelled, or without a tag | br-tun, priority 1 | no flow for its VLAN |
| from br-int, of a network that is not of this physical network | br-ex, priority 2 | no flow for its VLAN |
| from a physical network, of a network that has no bound port here | br-int, priority 2 | no flow for its VLAN |
| from a tunnel, of a network that has no bound port here | br-tun, priority 1 | no flow for its tunnel id |
| from a tunnel, unicast to an address that is not here | br-tun, priority 1 | no flow for its address |

## Local VLANs

{VLAN_MIN} to {VLAN_MAX}, the lowest free one for each network with a bound port on the host; they mean nothing beyond
it. VLANs that wired ports carry are found again at a start and kept. {DEAD_VLAN} is the tag of every device that is not
bound.

## Cookies

The cookie tells whose a flow is, over restarts and releases:

| bits | what |
| --- | --- |
| 63–48 | `{OWNER:#x}`: made by Tunbridge |
| 47–40 | the app: 1 integration bridge, 2 tunnel bridge, 3 physical bridge |
| 39–0 | digest of the id of the network or port, or of the device's name; 0 for the bridge itself |

All flows of this controller: `ovs-ofctl -O OpenFlow13 dump-flows br-tun cookie={OWNER << 48:#x}/{0xFFFF << 48:#x}`.
"""


def example() -> HostView:
    """The host that the page shows."""
    network = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, segmentation_id=2, name="demo_net1")
    ports = (
        ("0e2dfa90-d3c8-4938-b35f-e85ed71d0270", "qr-0e2dfa90-d3", "fa:16:3e:2a:6e:1c", 1),
        ("3f1f785c-7015-46c4-95ba-9efd6cd323d0", "tap3f1f785c-70", "fa:16:3e:b6:fc:21", 2),
        ("99f91280-a060-442e-90b0-d8324e50efc8", "qvo99f91280-a0", "fa:16:3e:02:dd:79", 5),
    )
    vlan = Network("5c7b3f2e-1f0e-4b0a-9d47-2f6f0a7c1101", NetworkType.VLAN, 101, physical_network="physnet1")
    flat = Network("9a0d7c55-4c39-4f0b-8a7e-6b1d2e3f4a05", NetworkType.FLAT, physical_network="physnet1")
    return HostView(
        bridges={name: role for role, name in _BRIDGES.items()},
        patch_int=1,
        physical={"physnet1": PhysicalNetwork("physnet1", "br-ex", int_port=9, phy_port=2)},
        networks={each.id: LocalNetwork(each, number) for number, each in enumerate((network, vlan, flat), start=1)},
        ports={
            port_id: LocalPort(port_id, network.id, mac_address, device, ofport)
            for port_id, device, mac_address, ofport in ports
        },
        dead={"tap5ec0ffee-00": DeadPort("tap5ec0ffee-00", 7)},
    )


def page() -> str:
    """The whole page, as Markdown.

    :raises LookupError: a band is declared of which the example has no flow
    """
    compiler = Compiler()
    compiler.update(example())
    sections = [_HEAD]
    for role, name in _BRIDGES.items():
        sections.append(_bridge_section(role, name, compiler))
    return "\n".join([*sections, _TAIL])


def _bridge_section(role: BridgeRole, name: str, compiler: Compiler) -> str:
    flows = compiler.flows(name)
    bands = {band: _flows_of(band, flows) for band in Band if band.spec.role is role}
    lines = [f"## {name}, the {role.value}", "", _ABOUT[role], ""]
    lines += ["| priority | band | one flow for each | matches on | actions |", "| --- | --- | --- | --- | --- |"]
    for band in reversed(bands):
        owners = {compiler.owner(name, flow.key) for flow in bands[band]}
        lines.append(_band_row(band, {owner for owner in owners if owner is not None}))
    for band in reversed(bands):
        lines += ["", f"### {band.spec.priority}: {band.name}", "", band.spec.meaning, "", "```"]
        lines += [*render_table(bands[band]).splitlines(), "```"]
    return "\n".join(lines) + "\n"


def _flows_of(band: Band, flows: Mapping[FlowKey, Flow]) -> list[Flow]:
    found = [flow for flow in flows.values() if flow.priority == band.spec.priority]
    if not found:
        raise LookupError(f"{band.name}: the example of the pipeline page has no flow of this band")
    return found


def _band_row(band: Band, owners: Iterable[Unit]) -> str:
    units = ", ".join(_UNIT_NAMES[kind] for kind in sorted({owner.kind for owner in owners}))
    fields = ", ".join(f"`{field.label}`" for field in sorted(band.spec.fields, key=lambda field: field.order))
    actions = ", ".join(text for action, text in _ACTION_NAMES.items() if action in band.spec.actions)
    return f"| {band.spec.priority} | {band.name} | {units} | {fields or 'everything'} | {actions or 'drop'} |"


if __name__ == "__main__":
    print(page(), end="")
