"""Writes docs/pipeline.md out of what the applications declare and the flows that they really make.

A page about flows that is kept by hand is wrong after the first change. Run ``python -m
apps.framework.pipeline_page`` and put what it prints into docs/pipeline.md; a test holds that the two are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from immutables import Map

from apps import APPLICATIONS
from apps.filtering.filter_tables import FilterTable
from apps.framework.app import App, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.cookie import OWNER
from apps.framework.flow import (
    Flow,
    FlowKey,
    LoadBits,
    ModVlanVid,
    Move,
    Normal,
    Output,
    OutputRegister,
    PopVlan,
    Resubmit,
    SetField,
    SetTunDst,
    SetTunnel,
    SetXxreg,
    StripVlan,
    TrackConnection,
)
from apps.framework.host_view import (
    DeadPort,
    HostView,
    LocalNetwork,
    LocalPort,
    Peer,
    PhysicalNetwork,
    PortSecurity,
    RemotePort,
    TunnelPath,
    TunnelPorts,
    ViewChange,
)
from apps.framework.local_vlans import DEAD_VLAN
from apps.framework.pipeline import Band, BridgeRole, Dropped, Pipeline
from apps.framework.render import render_table
from topology.model import VLAN_MAX, VLAN_MIN, Network, NetworkType
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

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
    StripVlan: "`load` → no tag",
    SetTunDst: "`set_field` → `tun_dst`",
    SetXxreg: "`set_field` → `xxreg`",
    LoadBits: "`load` → `reg8`",
    TrackConnection: "`ct`",
    Output: "`output`",
    OutputRegister: "`output` → `reg9`",
    Move: "`move`",
    SetField: "`set_field`",
    Resubmit: "`resubmit`",
    Normal: "`NORMAL`",
}

_UNIT_NAMES = {
    UnitKind.BASE: "bridge",
    UnitKind.PHYSICAL_NETWORK: "physical network",
    UnitKind.DEAD_PORT: "device that is not bound",
    UnitKind.NETWORK: "network with a bound port",
    UnitKind.REMOTE_PORT: "port on another host",
    UnitKind.PEER: "other host",
    UnitKind.SECURITY_GROUP: "security group",
    UnitKind.ADDRESS_GROUP: "address group",
    UnitKind.GROUP_MEMBER: "member of a group that rules name",
    UnitKind.ALLOWED_MAC: "MAC address that ports may have beside their own",
}

_HEAD = """\
<!-- Written by `python -m apps.framework.pipeline_page` out of what the applications
declare and the flows that they make. Do not edit. -->

# Pipeline

What flows there are, what each does, and why. A flow that is in none of these bands is refused by the compiler before
it comes near a switch; a flow that is on the switch and not wanted is removed, after all that is wanted is in place.

The flows shown are those of one host with three networks. A GRE network, tunnel id 2, is local VLAN 1: a gateway, a
DHCP device and a VM are bound to it. A VLAN network, segmentation id 101, is local VLAN 2: a VM (OpenFlow port 8) is
bound to it. A flat network is local VLAN 3. Both are of the physical network that br-ex leads to. The ports of the VMs
have a `binding:host_id`, the others have none. Of the GRE network a fourth port is on another host, to which port 2 of
br-tun leads; port 3 leads to a host that an operator has entered for another agent. Device tap5ec0ffee-00 (OpenFlow
port 7) is not bound. `patch-int` is port 1 of br-tun, `int-br-ex` port 9 of br-int and `phy-br-ex` port 2 of br-ex.
Flows of tables 10 and up of br-int are of a host that has the same, where the port of the GRE network's VM is secured,
and so is that of its DHCP device, whose group is stateless; `patch-tun` is port 4 of br-int.
They are written as `ovs-ofctl -O OpenFlow13 dump-flows --no-stats` writes them; `tunbridge flows BRIDGE` shows yours.
"""

_WHY = """\
## Why the flows look like this

**The VLAN load.** `load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]` writes the VLAN id, then the bit
that says that there is a tag. It is what `mod_vlan_vid:1` of OpenFlow 1.0 did: exactly one tag with that VLAN
afterwards, whether the frame had none (current Neutron peers) or one of the peer's own (Grizzly peers), and the
priority bits of a tag stay. OpenFlow 1.3's own `push_vlan` with `set_field` would put a second tag on a frame that has
one; `set_field` alone may not be used on a frame that has none.
"""

_DROPPED = """\
**One flow a port of a tunnelled network, four of another, one more where it has a `binding:host_id`; two a network.**
None of these depends on how many hosts or tunnels there are. Where a network has ports on other hosts, one more a port
here, one a port there, and one a network; with ARP and ND answered two for each of its IPv4 addresses, one for each
IPv6 one, and four a network. Flow-based tunnels are two flows an encapsulation, and one each other host.

## What is dropped where

| frame | where | why |
| --- | --- | --- |
"""

_TAIL = f"""\

## Local VLANs

{VLAN_MIN} to {VLAN_MAX}, the lowest free one for each network with a bound port on the host; they mean nothing beyond
it. VLANs that wired ports carry are found again at a start and kept. {DEAD_VLAN} is the tag of every device that is not
bound.

## Cookies

The cookie tells whose a flow is, over restarts and releases:

| bits | what |
| --- | --- |
| 63–48 | `{OWNER:#x}`: made by Tunbridge |
| 47–40 | the app: APPS |
| 39–0 | digest of the id of the network or port, or of the device's name; 0 for the bridge itself |

All flows of this controller: `ovs-ofctl -O OpenFlow13 dump-flows br-tun cookie={OWNER << 48:#x}/{0xFFFF << 48:#x}`.
"""


def example(apps: Sequence[App] = APPLICATIONS) -> HostView:
    """The host that the page shows, with the options of its applications as these show them."""
    network = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, segmentation_id=2, name="demo_net1")
    vlan = Network("5c7b3f2e-1f0e-4b0a-9d47-2f6f0a7c1101", NetworkType.VLAN, 101, physical_network="physnet1")
    flat = Network("9a0d7c55-4c39-4f0b-8a7e-6b1d2e3f4a05", NetworkType.FLAT, physical_network="physnet1")
    ports = (
        LocalPort("0e2dfa90-d3c8-4938-b35f-e85ed71d0270", network.id, "fa:16:3e:2a:6e:1c", "qr-0e2dfa90-d3", 1),
        LocalPort("3f1f785c-7015-46c4-95ba-9efd6cd323d0", network.id, "fa:16:3e:b6:fc:21", "tap3f1f785c-70", 2),
        LocalPort(
            "99f91280-a060-442e-90b0-d8324e50efc8",
            network.id,
            "fa:16:3e:02:dd:79",
            "qvo99f91280-a0",
            5,
            is_here=True,
        ),
        LocalPort(
            "e1b6c1f4-7d0a-4a39-9a5c-2d5f3b8c6a10", vlan.id, "fa:16:3e:7b:04:c2", "tape1b6c1f4-7d", 8, is_here=True
        ),
    )
    remote = RemotePort(
        "c2d4e6f8-1b3d-4f5a-8c7e-9d0b1a2c3e4f",
        network.id,
        "host2",
        "fa:16:3e:4d:5e:6f",
        addresses=(("10.0.0.9", "fa:16:3e:4d:5e:6f"), ("fd00::9", "fa:16:3e:4d:5e:6f")),
    )
    return HostView(
        bridges={name: role for role, name in _BRIDGES.items()},
        patch_int=1,
        physical=Map({"physnet1": PhysicalNetwork("physnet1", "br-ex", int_port=9, phy_port=2)}),
        networks=Map(
            {each.id: LocalNetwork(each, number) for number, each in enumerate((network, vlan, flat), start=1)}
        ),
        ports=Map((port.port_id, port) for port in ports),
        dead=Map({"tap5ec0ffee-00": DeadPort("tap5ec0ffee-00", 7)}),
        tunnels=TunnelPorts(Map({NetworkType.VXLAN: 4})),
        peers=Map({"host2": _peer(2), "host3": _peer(3, tells_ports=False)}),
        remote_ports=Map({remote.port_id: remote}),
        options=Map(
            {option.key: option.example for app in apps for option in app.options if option.example is not None}
        ),
    )


def secured_example(apps: Sequence[App] = APPLICATIONS) -> HostView:
    """The same host with secured ports, for the bands that are there with such ports alone."""
    view = example(apps)
    own, servers = "6d1f3c52-8a0e-4f0b-9c6d-2b7a51e0d301", "7e204d63-9b1f-4a1c-8d7e-3c8b62f1e402"
    addresses = AddressGroup("8f315e74-ac20-4b2d-9e8f-4d9c7302f503", addresses=("192.0.2.0/24",))
    rules = [
        *(SecurityGroupRule(f"egress {kind.value}", Direction.EGRESS, kind) for kind in Ethertype),
        SecurityGroupRule("ingress", Direction.INGRESS, Ethertype.IPV4, 6, 22, 25),
        *(
            SecurityGroupRule(f"{direction.value} group", direction, Ethertype.IPV4, remote_group_id=own)
            for direction in Direction
        ),
        SecurityGroupRule("addresses", Direction.INGRESS, Ethertype.IPV4, remote_address_group_id=addresses.id),
    ]
    ports = {}
    for device, address, group_id in (("qvo99f91280-a0", "10.0.0.5", own), ("tap3f1f785c-70", "10.0.0.2", servers)):
        port = next(port for port in view.ports.values() if port.device == device)
        security = PortSecurity(((f"{address}/32", port.mac_address),), (group_id,))
        ports[port.port_id] = replace(port, security=security)
    return view.evolve(
        patch_tun=4,
        ports=ports,
        security_groups={
            own: SecurityGroup(own, rules=tuple(rules)),
            servers: SecurityGroup(servers, stateful=False, rules=tuple(rules[:3])),
        },
        address_groups={addresses.id: addresses},
        group_members={(own, "10.0.0.5"): True, (own, "10.0.0.9"): True},
    ).new


def _peer(number: int, *, tells_ports: bool = True) -> Peer:
    """A host to which a port leads, and the flow-based one for VXLAN."""
    paths = {NetworkType.GRE: (TunnelPath(number),), NetworkType.VXLAN: (TunnelPath(4, f"192.0.2.{number}"),)}
    return Peer(Map(paths), tells_ports)


def page(apps: Sequence[App] = APPLICATIONS) -> str:
    """The whole page, as Markdown.

    :raises LookupError: a band is declared of which the example has no flow
    """
    bands, compilers = Pipeline(apps).bands, (Compiler(apps), Compiler(apps))
    for compiler, view in zip(compilers, (example(apps), secured_example(apps)), strict=True):
        compiler.update(ViewChange.between(HostView(), view))
    sections = [_HEAD]
    for role, name in _BRIDGES.items():
        sections.append(_bridge_section(name, role, [band for band in bands if band.role is role], compilers))
    sections += [_WHY, *(f"{note}\n" for app in apps for note in app.notes)]
    rows = [_dropped_row(band, what) for band in bands for what in band.dropped]
    numbers = ", ".join(f"{app.number} {app.name}" for app in sorted(apps, key=lambda app: app.number))
    return "\n".join([*sections, _DROPPED + "\n".join(rows), _TAIL.replace("APPS", numbers)])


def _place(band: Band) -> str:
    return f"{band.priority} of table {band.table}" if band.table else str(band.priority)


def _dropped_row(band: Band, what: Dropped) -> str:
    place = "`NORMAL`" if Normal in band.actions else f"priority {_place(band)}"
    return f"| {what.frames} | {_BRIDGES[band.role]}, {place} | {what.reason} |"


def _bridge_section(name: str, role: BridgeRole, bands: Sequence[Band], compilers: Sequence[Compiler]) -> str:
    plain, secured = compilers
    of = {band: secured if band.table >= FilterTable.ENTRY else plain for band in bands}
    if role is not BridgeRole.INTEGRATION:
        of = dict.fromkeys(bands, plain)
    flows = {band: _flows_of(band, of[band].flows(name)) for band in bands}
    lines = [f"## {name}, the {role.value}", "", _ABOUT[role], ""]
    lines += ["| priority | band | one flow for each | matches on | actions |", "| --- | --- | --- | --- | --- |"]
    for band in reversed(bands):
        owners = (of[band].owner(name, flow.key) for flow in flows[band])
        lines.append(_band_row(band, {owner.kind for owner in owners if owner is not None}))
    for band in reversed(bands):
        lines += ["", f"### {_place(band)}: {band.name}", "", band.meaning, "", "```"]
        lines += [*render_table(flows[band]).splitlines(), "```"]
    return "\n".join(lines) + "\n"


def _flows_of(band: Band, flows: Mapping[FlowKey, Flow]) -> list[Flow]:
    found = [flow for flow in flows.values() if (flow.table, flow.priority) == (band.table, band.priority)]
    if not found:
        raise LookupError(f"{band.name}: the example of the pipeline page has no flow of this band")
    return found


def _band_row(band: Band, kinds: Iterable[UnitKind]) -> str:
    units = ", ".join(_UNIT_NAMES.get(kind, band.ports) for kind in sorted(kinds))
    labels = dict.fromkeys(field.label for field in sorted(band.fields, key=lambda field: field.order))
    fields = ", ".join(f"`{label}`" for label in labels)
    actions = ", ".join(text for action, text in _ACTION_NAMES.items() if action in band.actions)
    return f"| {_place(band)} | {band.name} | {units} | {fields or 'everything'} | {actions or 'drop'} |"


if __name__ == "__main__":
    print(page(), end="")
