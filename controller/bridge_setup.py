"""Bridges, patches and tunnel ports, made so in one transaction that touches nothing that is right.

br-int and br-tun are ours: they are made when they are missing and have no controller but us. A physical bridge is the
operator's: it is never made, keeps its other controllers, and gets no more than a patch and our controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.names import Names, patch_peer
from controller.tunnels import TunnelPort, is_tunnel_of_ours
from topology.errors import VSwitchError
from topology.ovsdb.edit import Edit

PROTOCOLS = ("OpenFlow10", "OpenFlow13", "OpenFlow14")
"""What a bridge speaks where nothing was said: ours, and those that ovs-ofctl and Neutron's agent use."""

OUR_PROTOCOL = "OpenFlow13"

MAX_BACKOFF_MS = 1000
"""How long Open vSwitch waits before it tries again to connect; the smallest value that it takes."""

_CONTROLLER = {"connection_mode": ["out-of-band"], "max_backoff": [MAX_BACKOFF_MS]}
"""Columns of our Controller row: no hidden in-band flows, and a restarted controller is found again within a second."""


@dataclass(frozen=True)
class BridgeLayout:
    """How the bridges of a host should be.

    :param controller: where this controller listens, e.g. ``tcp:127.0.0.1:6653``
    :param datapath_type: of bridges that have to be made (``system``, ``netdev``); one that exists keeps its own
    """

    names: Names
    controller: str
    datapath_type: str


def set_up(edit: Edit, layout: BridgeLayout, tunnels: Mapping[str, TunnelPort] | None) -> list[str]:
    """Make bridges, patches and tunnel ports as they should be.

    :param tunnels: the tunnel ports of br-tun by name, None while they are not known: then they stay as they are
    :returns: what had to be changed, in words for the log; nothing when all was right
    :raises VSwitchError: a port's name is taken by a port of another bridge
    """
    names = layout.names
    root = next(iter(edit.rows("Open_vSwitch").values()), None)
    if root is None:
        raise VSwitchError("the local OVSDB has no Open_vSwitch row: initialise it with `ovs-vsctl --no-wait init`")
    # Looked at before anything is inserted: a row that is new in this transaction has only the columns given to it.
    tunnel_bridge = _find(edit, "Bridge", names.tunnel_bridge)
    present = {port.name: port for port in tunnel_bridge.ports} if tunnel_bridge is not None else {}
    done = _without_old_patches(edit, names)
    for name in (names.integration_bridge, names.tunnel_bridge):
        bridge = _find(edit, "Bridge", name)
        if bridge is None:
            _add_bridge(edit, root, name, layout)
            done.append(f"bridge {name} made")
        else:
            done += _own(edit, bridge, layout.controller, alone=True)
    done += _patch(edit, names.integration_bridge, names.patch_tun, names.patch_int)
    done += _patch(edit, names.tunnel_bridge, names.patch_int, names.patch_tun)
    for physical in names.physical.values():
        bridge = _find(edit, "Bridge", physical.bridge)
        if bridge is not None:
            done += _own(edit, bridge, layout.controller, alone=False)
            done += _patch(edit, names.integration_bridge, physical.int_port, physical.phy_port)
            done += _patch(edit, physical.bridge, physical.phy_port, physical.int_port)
    if tunnels is not None:
        done += _tunnels(edit, names.tunnel_bridge, tunnels, present)
    if done:
        # As ovs-vsctl does. Open vSwitch 3.1 does not act on new trunks alone until something else happens.
        edit.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]])
    return done


def _find(edit: Edit, table: str, name: str) -> Any | None:
    return next((row for row in edit.rows(table).values() if row.name == name), None)


def _add_bridge(edit: Edit, root: Any, name: str, layout: BridgeLayout) -> None:
    interface = edit.insert("Interface", name=name, type="internal")
    bridge = edit.insert(
        "Bridge",
        name=name,
        datapath_type=layout.datapath_type,
        fail_mode=["secure"],
        protocols=list(PROTOCOLS),
        ports=[edit.insert("Port", name=name, interfaces=[interface])],
        controller=[edit.insert("Controller", target=layout.controller, **_CONTROLLER)],
    )
    root.addvalue("bridges", bridge)


def _own(edit: Edit, bridge: Any, target: str, *, alone: bool) -> list[str]:
    """Let a bridge be controlled by us, and by nobody else where it is to be ``alone``."""
    done = []
    if list(bridge.fail_mode) != ["secure"]:
        edit.set(bridge, fail_mode=["secure"])
        done.append(f"bridge {bridge.name}: fail_mode=secure")
    if OUR_PROTOCOL not in bridge.protocols:
        edit.set(bridge, protocols=[*bridge.protocols, OUR_PROTOCOL] if bridge.protocols else list(PROTOCOLS))
        done.append(f"bridge {bridge.name}: protocols={','.join(sorted(bridge.protocols))}")
    controllers = list(bridge.controller)
    ours = next((row for row in controllers if row.target == target), None)
    others = [row for row in controllers if row is not ours]
    if ours is not None and edit.set(ours, **_CONTROLLER):
        done.append(f"bridge {bridge.name}: controller {target}: out-of-band, max_backoff={MAX_BACKOFF_MS}")
    if ours is None or (alone and others):
        ours = ours or edit.insert("Controller", target=target, **_CONTROLLER)
        edit.set(bridge, controller=[ours] if alone else [ours, *others])
        replaced = ", ".join(sorted(row.target for row in others)) if alone else ""
        done.append(f"bridge {bridge.name}: controller {target}" + (f" in place of {replaced}" if replaced else ""))
    return done


def _patch(edit: Edit, bridge_name: str, name: str, peer: str) -> list[str]:
    port = _find(edit, "Port", name)
    if port is None:
        _add_port(edit, bridge_name, name, "patch", {"peer": peer}, ())
        return [f"bridge {bridge_name}: patch port {name} to {peer} made"]
    _must_be_on(edit, port, bridge_name)
    done = []
    interface = port.interfaces[0]
    if edit.set(interface, type="patch", options={**interface.options, "peer": peer}):
        done.append(f"bridge {bridge_name}: port {name} made a patch to {peer}")
    if edit.set(port, tag=[]):
        done.append(f"bridge {bridge_name}: tag taken off patch port {name}")
    return done


def _without_old_patches(edit: Edit, names: Names) -> list[str]:
    """Remove patches to physical bridges that are not in ``[ovs] bridge_mappings`` any more, ours or Neutron's agent's.

    No flow is made for them, so br-int would switch whatever came in by them by the tag that it happens to have.
    """
    done = []
    bridges = {bridge.name: bridge for bridge in edit.rows("Bridge").values()}
    integration = bridges.get(names.integration_bridge)
    for port in list(integration.ports) if integration is not None else []:
        peer = patch_peer(port.name)
        if port.name in names.patch_ports or peer is None or not _is_patch(port, peer):
            continue
        for bridge in bridges.values():
            ends = [end for end in bridge.ports if end == port or (end.name == peer and _is_patch(end, port.name))]
            for end in ends:
                bridge.delvalue("ports", end)
                done.append(f"bridge {bridge.name}: patch port {end.name} removed: not of [ovs] bridge_mappings")
    return done


def _is_patch(port: Any, peer: str) -> bool:
    return all(interface.type == "patch" and interface.options.get("peer") == peer for interface in port.interfaces)


def _tunnels(edit: Edit, bridge_name: str, wanted: Mapping[str, TunnelPort], present: Mapping[str, Any]) -> list[str]:
    done = []
    bridge = _find(edit, "Bridge", bridge_name)
    assert bridge is not None
    for name, tunnel in wanted.items():
        port = present.get(name) or _find(edit, "Port", name)
        if port is None:
            _add_port(edit, bridge_name, name, tunnel.type, dict(tunnel.options), tunnel.trunks)
            done.append(f"bridge {bridge_name}: tunnel {name} to host {tunnel.host} at {tunnel.remote_ip} made")
            continue
        _must_be_on(edit, port, bridge_name)
        if edit.set(port.interfaces[0], type=tunnel.type, options=dict(tunnel.options)):
            done.append(f"bridge {bridge_name}: tunnel {name} to host {tunnel.host} at {tunnel.remote_ip} changed")
        if edit.set(port, tag=[], trunks=list(tunnel.trunks)):
            carried = ",".join(str(vlan) for vlan in tunnel.trunks) or "all"
            done.append(f"bridge {bridge_name}: tunnel {name} carries local VLANs {carried}")
    for name, port in present.items():
        if name not in wanted and any(
            is_tunnel_of_ours(name, interface.type, interface.options) for interface in port.interfaces
        ):
            bridge.delvalue("ports", port)
            done.append(f"bridge {bridge_name}: tunnel {name} removed")
    return done


def _add_port(
    edit: Edit, bridge_name: str, name: str, kind: str, options: Mapping[str, str], trunks: tuple[int, ...]
) -> None:
    bridge = _find(edit, "Bridge", bridge_name)
    assert bridge is not None
    interface = edit.insert("Interface", name=name, type=kind, options=dict(options))
    bridge.addvalue("ports", edit.insert("Port", name=name, interfaces=[interface], trunks=list(trunks)))


def _must_be_on(edit: Edit, port: Any, bridge_name: str) -> None:
    bridge = _find(edit, "Bridge", bridge_name)
    if bridge is None or port not in bridge.ports:
        raise VSwitchError(
            f"port {port.name} is on another bridge than {bridge_name}: remove it there, or change the options of "
            "[ovs] that name patch ports and bridges"
        )
