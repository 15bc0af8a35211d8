"""br-int, br-tun and the patch between them, made so in one transaction that touches nothing that is right already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topology.errors import VSwitchError
from topology.ovsdb.edit import Edit

PROTOCOLS = ("OpenFlow10", "OpenFlow13", "OpenFlow14")
"""What a bridge speaks where nothing was said: ours, and those that ovs-ofctl and Neutron's agent use."""

OUR_PROTOCOL = "OpenFlow13"

MAX_BACKOFF_MS = 1000
"""How long Open vSwitch waits before it tries again to connect; the smallest value that it takes."""


@dataclass(frozen=True)
class BridgeLayout:
    """The bridges of a host and how they are joined.

    :param controller: where this controller listens, e.g. ``tcp:127.0.0.1:6653``
    :param datapath_type: of bridges that have to be made (``system``, ``netdev``); one that exists keeps its own
    """

    integration_bridge: str
    tunnel_bridge: str
    patch_tun: str
    patch_int: str
    controller: str
    datapath_type: str


def set_up(edit: Edit, layout: BridgeLayout) -> list[str]:
    """Make the bridges as they should be.

    :returns: what had to be changed, in words for the log; nothing when all was right
    :raises VSwitchError: a patch port's name is taken by a port of another bridge
    """
    root = next(iter(edit.rows("Open_vSwitch").values()), None)
    if root is None:
        raise VSwitchError("the local OVSDB has no Open_vSwitch row: initialise it with `ovs-vsctl --no-wait init`")
    done: list[str] = []
    for name in (layout.integration_bridge, layout.tunnel_bridge):
        bridge = _find(edit, "Bridge", name)
        if bridge is None:
            _add_bridge(edit, root, name, layout)
            done.append(f"bridge {name} made")
        else:
            done += _own(edit, bridge, layout.controller)
    done += _patch(edit, layout.integration_bridge, layout.patch_tun, layout.patch_int)
    done += _patch(edit, layout.tunnel_bridge, layout.patch_int, layout.patch_tun)
    return done


def _find(edit: Edit, table: str, name: str) -> Any | None:
    return next((row for row in edit.rows(table).values() if row.name == name), None)


_CONTROLLER = {"connection_mode": ["out-of-band"], "max_backoff": [MAX_BACKOFF_MS]}
"""Columns of our Controller row: no hidden in-band flows, and a restarted controller is found again within a second."""


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


def _own(edit: Edit, bridge: Any, target: str) -> list[str]:
    done = []
    if list(bridge.fail_mode) != ["secure"]:
        edit.set(bridge, fail_mode=["secure"])
        done.append(f"bridge {bridge.name}: fail_mode=secure")
    if OUR_PROTOCOL not in bridge.protocols:
        edit.set(bridge, protocols=[*bridge.protocols, OUR_PROTOCOL] if bridge.protocols else list(PROTOCOLS))
        done.append(f"bridge {bridge.name}: protocols={','.join(sorted(bridge.protocols))}")
    controllers = list(bridge.controller)
    ours = next((row for row in controllers if row.target == target), None)
    if ours is None:
        ours = edit.insert("Controller", target=target, **_CONTROLLER)
    elif edit.set(ours, **_CONTROLLER):
        done.append(f"bridge {bridge.name}: controller {target}: out-of-band, max_backoff={MAX_BACKOFF_MS}")
    if controllers != [ours]:
        others = ", ".join(sorted(row.target for row in controllers if row is not ours))
        edit.set(bridge, controller=[ours])
        done.append(f"bridge {bridge.name}: controller {target}" + (f" in place of {others}" if others else ""))
    return done


def _patch(edit: Edit, bridge_name: str, name: str, peer: str) -> list[str]:
    bridge = _find(edit, "Bridge", bridge_name)
    assert bridge is not None
    port = _find(edit, "Port", name)
    if port is None:
        interface = edit.insert("Interface", name=name, type="patch", options={"peer": peer})
        bridge.addvalue("ports", edit.insert("Port", name=name, interfaces=[interface]))
        return [f"bridge {bridge_name}: patch port {name} to {peer} made"]
    if port not in bridge.ports:
        raise VSwitchError(
            f"port {name} is on another bridge than {bridge_name}: remove it there, or name another patch port in the "
            "options int_peer_patch_port and tun_peer_patch_port of [ovs]"
        )
    done = []
    interface = port.interfaces[0]
    if edit.set(interface, type="patch", options={**interface.options, "peer": peer}):
        done.append(f"bridge {bridge_name}: port {name} made a patch to {peer}")
    if edit.set(port, tag=[]):
        done.append(f"bridge {bridge_name}: tag taken off patch port {name}")
    return done
