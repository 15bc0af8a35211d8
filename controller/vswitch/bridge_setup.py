"""Bridges, patches and tunnel ports, made so in one transaction that touches nothing that is right.

br-int and br-tun are ours: they are made when they are missing and have no controller but us. A physical bridge is the
operator's: it is never made, keeps its other controllers, and gets no more than a patch and our controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.vswitch.bridge_proof import KEY, new_serial, serial_of
from controller.vswitch.interface_rows import MAC_TABLE_SIZE, named
from controller.vswitch.ipsec import IpsecKeys
from controller.vswitch.names import NO_PEER, Names, is_flow_tunnel, is_tunnel_of_ours, patch_peer
from topology.errors import VSwitchError
from topology.ovsdb.edit import Edit, read, referred

PROTOCOLS = ("OpenFlow10", "OpenFlow13", "OpenFlow14")
"""What a bridge speaks where nothing was said: ours, and those that ovs-ofctl and Neutron's agent use."""

OUR_PROTOCOL = "OpenFlow13"

_READABLE = frozenset({"OpenFlow13", "OpenFlow14"})
"""What :mod:`controller.openflow.tables.saved_tables` speaks."""

MAX_BACKOFF_MS = 1000
"""How long Open vSwitch waits before it tries again to connect; the smallest value that it takes."""

_MULTICAST = {"mcast-snooping-flood": "true", "mcast-snooping-flood-reports": "true"}
"""In ``Port.other_config`` of ports to other bridges and hosts, as Neutron's agent has them. Without a querier a bridge
knows of receivers on this host alone: there may be others behind these ports, who want frames and reports."""

_CONTROLLER = {"connection_mode": ["out-of-band"], "max_backoff": [MAX_BACKOFF_MS]}
"""Columns of our Controller row: no hidden in-band flows, and a restarted controller is found again within a second."""

_SERVICE = {**_CONTROLLER, "type": ["service"]}
"""Open vSwitch removes all flows of a bridge that gets its first primary controller or loses its last, and counts those
that it restores before it connects to controllers (``flow-restore-wait``) as flows without one. A service controller is
served in the same way and is not counted (``connmgr_set_controllers()`` in ofproto/connmgr.c)."""


@dataclass(frozen=True)
class BridgeLayout:
    """How the bridges of a host should be.

    :param controllers: bridge → the target that it is to connect to, e.g. ``tcp:127.0.0.1:6653``; then those that this
        controller would have with other settings, which are taken away: nobody of ours listens there
    :param datapath_type: of bridges that have to be made (``system``, ``netdev``); one that exists keeps its own
    :param mac_table_size: addresses that br-int and br-tun each learn at most
    :param ipsec: by which tunnels are encrypted; None: they are not
    """

    names: Names
    controllers: Mapping[str, tuple[str, ...]]
    datapath_type: str
    mac_table_size: int
    ipsec: IpsecKeys | None = None

    @property
    def other_config(self) -> dict[str, str]:
        """What br-int and br-tun have, besides what tells them from impostors."""
        return {MAC_TABLE_SIZE: str(self.mac_table_size)}


@dataclass(frozen=True)
class TunnelPort:
    """A port on br-tun that leads to another host, or to all of them.

    :param name: also of the Interface
    :param host: name of the other host; empty: the flow sets whom it leads to
    :param type: type of the Interface
    :param remote_ip: as the option of that name
    :param options: of the Interface
    :param trunks: local VLANs that go through it; none means all
    """

    name: str
    host: str
    type: str
    remote_ip: str
    options: tuple[tuple[str, str], ...] = field(repr=False)  # a secret may be among them
    trunks: tuple[int, ...] = ()


@dataclass(frozen=True)
class WantedBridges:
    """What the set-up of bridges depends on, besides the layout.

    :param tunnels: the tunnel ports of br-tun by name, None while they are not known: then they stay as they are
    :param joined: physical networks whose patch can be joined: both ends drop what is of no network here
    :param changing: flows may still send through tunnel ports of the other mode, and these stay
    :param unneeded: names of tunnel ports that stay where they are there, and are not made
    """

    tunnels: Mapping[str, TunnelPort] | None
    joined: frozenset[str] = frozenset()
    changing: bool = False
    unneeded: frozenset[str] = frozenset()


def set_up(edit: Edit, layout: BridgeLayout, wanted: WantedBridges) -> list[str]:
    """Make bridges, patches and tunnel ports as they should be.

    Ports of :func:`misplaced` are left as they are, and out.

    :returns: what had to be changed, in words for the log; nothing when all was right
    :raises VSwitchError: the database was never initialised
    """
    names, elsewhere = layout.names, misplaced(edit, layout, wanted)
    root = next(iter(edit.rows("Open_vSwitch").values()), None)
    if root is None:
        raise VSwitchError("the local OVSDB has no Open_vSwitch row: initialise it with `ovs-vsctl --no-wait init`")
    # Looked at before anything is inserted: a row that is new in this transaction has only the columns given to it.
    bridges = {row.name: row for row in edit.rows("Bridge").values()}
    present = {name: {read(port, "name"): port for port in referred(row, "ports")} for name, row in bridges.items()}
    done = _without_old_patches(edit, bridges, names) + _ipsec(edit, root, layout.ipsec)
    ours = (names.integration_bridge, names.tunnel_bridge)
    for name in names.bridges:
        if name in bridges:
            other_config = layout.other_config if name in ours else {}
            done += _own(edit, bridges[name], layout.controllers[name], other_config, alone=name in ours)
        elif name in ours:
            bridges[name] = _add_bridge(edit, root, name, layout)
            done.append(f"bridge {name} made")
    for name, port, peer, network in names.patch_ends:
        if port not in elsewhere and (network is None or names.physical[network].bridge in bridges):
            joined = network is None or network in wanted.joined
            row = present.get(name, {}).get(port)
            done += _patch(edit, bridges[name], row, port, peer, joined=joined)
    if wanted.tunnels is not None:
        tunnels = {name: tunnel for name, tunnel in wanted.tunnels.items() if name not in elsewhere}
        there = present.get(names.tunnel_bridge, {})
        done += _tunnels(edit, bridges[names.tunnel_bridge], tunnels, there, wanted)
    if done:
        tell_vswitchd(edit)
    return done


def _ipsec(edit: Edit, root: Any, keys: IpsecKeys | None) -> list[str]:
    """Say where this host's certificate is."""
    wanted = dict(keys.other_config) if keys is not None else {}
    lacking = {key: value for key, value in wanted.items() if root.other_config.get(key) != value}
    if lacking:
        edit.set(root, other_config={**root.other_config, **lacking})
    return [f"Open_vSwitch: other_config:{key}={value}" for key, value in lacking.items()]


def misplaced(edit: Edit, layout: BridgeLayout, wanted: WantedBridges) -> dict[str, str]:
    """Name the patch and tunnel ports that cannot be made, since a port of another bridge has their name.

    :returns: name of the port → what is wrong and what to do
    """
    names = layout.names
    belongs = {port: bridge for bridge, port, _, _ in names.patch_ends}
    belongs |= dict.fromkeys(wanted.tunnels or (), names.tunnel_bridge)
    return {
        name: f"it is on bridge {bridge.name}, where {belongs[name]} needs the name: remove it there, or "
        "change the options of [ovs] that name patch ports and bridges"
        for bridge in edit.rows("Bridge").values()
        for name in (read(port, "name") for port in referred(bridge, "ports"))
        if name in belongs and belongs[name] != bridge.name
    }


def _add_bridge(edit: Edit, root: Any, name: str, layout: BridgeLayout) -> Any:
    interface = edit.insert("Interface", name=name, type="internal")
    bridge = edit.insert(
        "Bridge",
        name=name,
        datapath_type=layout.datapath_type,
        fail_mode=["secure"],
        protocols=list(PROTOCOLS),
        other_config={**layout.other_config, KEY: new_serial()},
        ports=[edit.insert("Port", name=name, interfaces=[interface])],
        controller=[edit.insert("Controller", target=layout.controllers[name][0], **_SERVICE)],
    )
    root.addvalue("bridges", bridge)
    return bridge


def _own(
    edit: Edit, bridge: Any, targets: tuple[str, ...], other_config: Mapping[str, str], *, alone: bool
) -> list[str]:
    """Let a bridge be controlled by us, and by nobody else where it is to be ``alone``.

    :param other_config: what it shall have of that, besides what tells it from impostors
    """
    done = _speak(edit, bridge) + _secure(edit, bridge)
    present = bridge.other_config
    lacking = {key: value for key, value in other_config.items() if present.get(key) != value}
    done += [f"bridge {bridge.name}: other_config:{key}={value}" for key, value in lacking.items()]
    if serial_of(present) is None:
        lacking[KEY] = new_serial()
        done.append(f"bridge {bridge.name}: other_config:{KEY}, by which it is told from impostors")
    edit.set(bridge, other_config={**present, **lacking})
    target = targets[0]
    controllers = list(bridge.controller)
    ours = next((row for row in controllers if row.target == target), None)
    others = [row for row in controllers if row is not ours]
    unwanted = others if alone else [row for row in others if row.target in targets]
    # A running ovs-vswitchd sticks to the type with which it first saw a controller: what is written beside a
    # connection that stands holds from its next start on, and removes no flow.
    if ours is not None and edit.set(ours, **(_SERVICE if ours.is_connected else _CONTROLLER)):
        done.append(
            f"bridge {bridge.name}: controller {target}: {', '.join(ours.type) or 'primary'}, out-of-band, "
            f"max_backoff={MAX_BACKOFF_MS}"
        )
    if ours is None or unwanted:
        # In the place of a primary one comes a primary one first: else the last would go, and all flows with it.
        follows = any(map(_is_primary, unwanted))
        ours = ours or edit.insert("Controller", target=target, **(_CONTROLLER if follows else _SERVICE))
        edit.set(bridge, controller=[ours, *(row for row in others if row not in unwanted)])
        replaced = ", ".join(sorted(row.target for row in unwanted))
        done.append(f"bridge {bridge.name}: controller {target}" + (f" in place of {replaced}" if replaced else ""))
    return done


def once_connected(edit: Edit, layout: BridgeLayout) -> None:
    """Write what :func:`set_up` has still to write when it comes again, with our controller connected."""
    for name in layout.names.bridges:
        bridge = named(edit, "Bridge", name)
        for row in bridge.controller if bridge is not None else []:
            if row.target == layout.controllers[name][0]:
                edit.set(row, **_SERVICE)


def _speak(edit: Edit, bridge: Any) -> list[str]:
    """Have a bridge speak the version of OpenFlow that we do."""
    if OUR_PROTOCOL in bridge.protocols:
        return []
    edit.set(bridge, protocols=[*bridge.protocols, OUR_PROTOCOL] if bridge.protocols else list(PROTOCOLS))
    return [f"bridge {bridge.name}: protocols={','.join(sorted(bridge.protocols))}"]


def _secure(edit: Edit, bridge: Any) -> list[str]:
    """Have a bridge keep its flows while no controller is connected."""
    return [f"bridge {bridge.name}: fail_mode=secure"] if edit.set(bridge, fail_mode=["secure"]) else []


def _is_primary(controller: Any) -> bool:
    """Whether Open vSwitch counts a controller as one (``get_controller_ofconn_type()`` in vswitchd/bridge.c)."""
    return list(controller.type) == ["primary"] or (not controller.type and not controller.target.startswith("p"))


def bridges_to_be_flushed(edit: Edit, layout: BridgeLayout) -> list[str]:
    """Name the bridges whose flows Open vSwitch removes when they become secure, and see that we can talk to them.

    It does that where the fail mode changes and no primary controller is configured (``connmgr_set_fail_mode()`` in
    ofproto/connmgr.c). A bridge that speaks a version of ours keeps its protocols for now: when they change, Open
    vSwitch ends all connections.
    """
    bridges = [bridge for bridge in edit.rows("Bridge").values() if bridge.name in layout.names.bridges]
    insecure = [bridge for bridge in bridges if list(bridge.fail_mode) != ["secure"]]
    flushed = [bridge for bridge in insecure if not any(map(_is_primary, bridge.controller))]
    silent = [bridge for bridge in flushed if bridge.protocols and not _READABLE.intersection(bridge.protocols)]
    if [change for bridge in silent for change in _speak(edit, bridge)]:
        tell_vswitchd(edit)
    return [bridge.name for bridge in flushed]


def secure(edit: Edit, name: str) -> list[str]:
    """Make one bridge secure and change nothing else; what was changed, in words for the log."""
    bridge = named(edit, "Bridge", name)
    done = _secure(edit, bridge) if bridge is not None else []
    if done:
        tell_vswitchd(edit)
    return done


def tell_vswitchd(edit: Edit) -> None:
    """As ovs-vsctl does.

    Of a Port, Open vSwitch 3.1 acts on a new tag at once, and on another ``vlan_mode``, ``trunks`` or ``cvlans`` alone
    not until something else has it go through its configuration (``bridge_reconfigure`` of coverage/show stands still).
    """
    edit.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])


def _patch(edit: Edit, bridge: Any, port: Any | None, name: str, peer: str, *, joined: bool) -> list[str]:
    """Make one end of a patch as it should be.

    :param port: None: it is not there
    :param joined: otherwise an end that is not there yet is made without its peer, and one without its peer stays so
    """
    if port is None:
        _add_port(edit, bridge, name, "patch", {"peer": peer if joined else NO_PEER})
        return [f"bridge {bridge.name}: patch port {name} to {peer} made" + ("" if joined else ", not joined yet")]
    done = []
    interface = port.interfaces[0]
    peer = NO_PEER if not joined and interface.options.get("peer") == NO_PEER else peer
    if edit.set(interface, type="patch", options={**interface.options, "peer": peer}):
        done.append(f"bridge {bridge.name}: port {name} made a patch to {peer}")
    if edit.set(port, tag=[]):
        done.append(f"bridge {bridge.name}: tag taken off patch port {name}")
    return done + _flooded(edit, bridge, port)


def _flooded(edit: Edit, bridge: Any, port: Any) -> list[str]:
    """Have multicast and reports go out by a port of ours, where its bridge snoops at all."""
    if bridge.mcast_snooping_enable and edit.set(port, other_config={**port.other_config, **_MULTICAST}):
        return [f"bridge {bridge.name}: {port.name} floods multicast: {', '.join(sorted(_MULTICAST))}"]
    return []


def _without_old_patches(edit: Edit, bridges: Mapping[str, Any], names: Names) -> list[str]:
    """Remove patches to physical bridges that are not in ``[ovs] bridge_mappings`` any more, ours or Neutron's agent's.

    No flow is made for them, so br-int would switch whatever came in by them by the tag that it happens to have.
    """
    done = []
    integration = bridges.get(names.integration_bridge)
    for port in referred(integration, "ports") if integration is not None else []:
        name = read(port, "name")
        peer = patch_peer(name)
        if name in names.patch_ports or peer is None or not _is_patch(port, peer):
            continue
        for bridge in bridges.values():
            for end in bridge.ports:
                if end == port or (end.name == peer and _is_patch(end, port.name)):
                    bridge.delvalue("ports", end)
                    done.append(f"bridge {bridge.name}: patch port {end.name} removed: not of [ovs] bridge_mappings")
    return done


def _is_patch(port: Any, peer: str) -> bool:
    return all(interface.type == "patch" and interface.options.get("peer") == peer for interface in port.interfaces)


def _tunnels(
    edit: Edit, bridge: Any, wanted: Mapping[str, TunnelPort], present: Mapping[str, Any], spared: WantedBridges
) -> list[str]:
    done = []
    for name, tunnel in wanted.items():
        port, what = present.get(name), f"bridge {bridge.name}: tunnel {name}"
        leads = f"to host {tunnel.host} at {tunnel.remote_ip}" if tunnel.host else "to all hosts"
        if port is None:
            # NORMAL floods what it has not learned, but between protected ports nothing
            _add_port(edit, bridge, name, tunnel.type, dict(tunnel.options), trunks=list(tunnel.trunks), protected=True)
            done.append(f"{what} {leads} made")
            continue
        if edit.set(port.interfaces[0], type=tunnel.type, options=dict(tunnel.options)):
            done.append(f"{what} {leads} changed")
        if edit.set(port, tag=[], trunks=list(tunnel.trunks)):
            done.append(f"{what} carries local VLANs {','.join(map(str, tunnel.trunks)) or 'all'}")
        done += _flooded(edit, bridge, port)
    is_flow_based = any(map(is_flow_tunnel, wanted))
    for name, port in present.items():
        if name in spared.unneeded or (spared.changing and is_flow_tunnel(name) != is_flow_based):
            continue
        named_so = (is_tunnel_of_ours(name, interface.type, interface.options) for interface in port.interfaces)
        if name not in wanted and any(named_so):
            bridge.delvalue("ports", port)
            done.append(f"bridge {bridge.name}: tunnel {name} removed")
    return done


def _add_port(edit: Edit, bridge: Any, name: str, kind: str, options: dict[str, str], **columns: Any) -> None:
    interface = edit.insert("Interface", name=name, type=kind, options=options)
    # A bridge that is new in this transaction has only the columns given to it.
    other_config = _MULTICAST if getattr(bridge, "mcast_snooping_enable", False) else {}
    port = edit.insert("Port", name=name, interfaces=[interface], other_config=other_config, **columns)
    bridge.addvalue("ports", port)
