"""Reads what ``ofproto/trace`` says becomes of a frame: which device gets it, and with which VLAN tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.host.ovs import OvsHost

_DATAPATH_PORT = re.compile(r"^\s+(\S+) \d+/(\d+):", re.MULTILINE)
_OUTCOME = re.compile(r"^(Flow|Final flow|Datapath actions): (.*)$", re.MULTILINE)
_VLAN = re.compile(r"\bdl_vlan=(\d+)")
_PUSH_VLAN = re.compile(r"push_vlan\(vid=(\d+),")
_ACTION = re.compile(r"[^,(]+(?:\([^)]*\))?")


@dataclass(frozen=True)
class Trace:
    """The way of one frame.

    :param text: all that ovs-appctl said
    :param final: the frame's fields in the end; those at the start where nothing changed them
    :param deliveries: name of each device that gets the frame → VLAN ids of its tags, the outermost first
    """

    text: str
    final: str
    deliveries: Mapping[str, tuple[int, ...]]

    @property
    def tunnel_id(self) -> str | None:
        """The tunnel id that the bridges give the frame on its way, None where they give none."""
        found = re.search(r"^ +set_field:(0x[0-9a-f]+)->tun_id$", self.text, re.MULTILINE)
        return found[1] if found else None


def trace(ovs: OvsHost, bridge: str, flow: str, *, learn: bool = False) -> Trace:
    """Trace a frame.

    :param flow: as in ovs-ofctl; at most one VLAN tag (``dl_vlan``)
    :param learn: let the bridges learn from it, as from a real frame
    """
    text = ovs.appctl("ofproto/trace", bridge, flow, *(["-generate"] if learn else []))
    outcome = dict(_OUTCOME.findall(text))
    final = outcome["Flow"] if outcome["Final flow"] == "unchanged" else outcome["Final flow"]
    ports = {number: name for name, number in _DATAPATH_PORT.findall(ovs.appctl("dpif/show"))}
    tags = tuple(int(vlan) for vlan in _VLAN.findall(outcome["Flow"]))
    return Trace(text, final, _deliveries(outcome["Datapath actions"], tags, ports))


def _deliveries(actions: str, tags: tuple[int, ...], ports: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Do the datapath's actions with the tags of a frame."""
    deliveries: dict[str, tuple[int, ...]] = {}
    for action in [] if actions == "drop" else _ACTION.findall(actions):
        if action == "pop_vlan":
            tags = tags[1:]
        elif push := _PUSH_VLAN.match(action):
            tags = (int(push[1]), *tags)
        else:
            device = ports[action]  # KeyError: an action that this reader does not know
            assert device not in deliveries, f"{device} gets the frame twice: {actions}"
            deliveries[device] = tags
    return deliveries
