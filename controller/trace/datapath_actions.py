"""Reads the actions of a datapath, as ``ofproto/trace`` ends with them: which port gets the frame, and how. Pure.

The words are those of odp-util.c of Open vSwitch. A kernel's datapath is told the tunnel (``set(tunnel(…))``) and sends
by the port of the encapsulation; the userspace one is given the whole header (``tnl_push(…)``) and sends by the port
that leads to the other end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_PUSH_VLAN = re.compile(r"push_vlan\((?:tpid=[^,]*,)?vid=(\d+)")
_CLONE = re.compile(r"clone\((.*)\)", re.DOTALL)
_SET_TUNNEL = re.compile(r"set\(tunnel\((.*)\)\)", re.DOTALL)
_PUSH_TUNNEL = re.compile(r"tnl_push\((.*)\)", re.DOTALL)
_SET_DESTINATION = re.compile(r"set\(eth\(.*\bdst=([0-9a-f:]{17})[,)/].*", re.DOTALL)
_ID = re.compile(r"\b(?:tun_id|key|vni)=(0x[0-9a-fA-F]+|\d+)")
_OUTER = re.compile(r"\bipv[46]\(src=[^,]+,dst=([^,)]+)")
_REMOTE = re.compile(r"\b(?:ipv6_)?dst=([^,)]+)")
_HEADER = re.compile(r"\bheader\(size=(\d+),type=(\d+)")
_TYPES = {"3": "gre", "4": "vxlan", "5": "geneve", "109": "gre"}
"""Of ``enum ovs_vport_type``; GRE over IPv6 has a number of its own."""


@dataclass(frozen=True)
class Encapsulation:
    """The tunnel that a copy of a frame goes into.

    :param remote_ip: address of the other end
    :param id: key or network identifier; None: without
    :param kind: ``gre``, ``vxlan`` or ``geneve``, where the actions say it
    :param header: bytes that come before the frame, the outer Ethernet header among them, where they say it
    """

    remote_ip: str
    id: int | None
    kind: str | None = None
    header: int | None = None


@dataclass(frozen=True)
class DatapathOutput:
    """A copy of the frame that leaves by a port.

    :param port: number in the datapath
    :param tags: VLAN ids, the outermost first
    :param destination: MAC address that it is sent to, where that is another than it came with
    """

    port: int
    tags: tuple[int, ...] = ()
    tunnel: Encapsulation | None = None
    destination: str | None = None


@dataclass(frozen=True)
class _State:
    tags: tuple[int, ...]
    tunnel: Encapsulation | None = None
    destination: str | None = None


def read_outputs(actions: str, tags: tuple[int, ...] = ()) -> tuple[DatapathOutput, ...]:
    """All copies, in the order in which they leave.

    What it does not know changes neither tags nor tunnel, and is passed over.

    :param tags: VLAN ids that the frame comes with
    """
    return tuple(_outputs(actions, _State(tags)))


def _outputs(actions: str, state: _State) -> Iterator[DatapathOutput]:
    for action in split_actions(actions):
        if action.isdecimal():
            yield DatapathOutput(int(action), state.tags, state.tunnel, state.destination)
        elif action == "pop_vlan":
            state = replace(state, tags=state.tags[1:])
        elif found := _PUSH_VLAN.match(action):
            state = replace(state, tags=(int(found[1]), *state.tags))
        elif found := _SET_TUNNEL.fullmatch(action):
            state = replace(state, tunnel=_told(found[1]))
        elif found := _PUSH_TUNNEL.fullmatch(action):
            state = replace(state, tunnel=_pushed(found[1]))
        elif found := _SET_DESTINATION.fullmatch(action):
            state = replace(state, destination=found[1])
        elif found := _CLONE.fullmatch(action):
            yield from _outputs(found[1], state)


def _told(text: str) -> Encapsulation | None:
    remote, number = _REMOTE.search(text), _ID.search(text)
    return None if remote is None else Encapsulation(remote[1], None if number is None else int(number[1], 0))


def _pushed(text: str) -> Encapsulation | None:
    remote, number, header = _OUTER.search(text), _ID.search(text), _HEADER.search(text)
    if remote is None:
        return None
    kind, size = (None, None) if header is None else (_TYPES.get(header[2]), int(header[1]))
    return Encapsulation(remote[1], None if number is None else int(number[1], 0), kind, size)


def split_actions(text: str) -> Iterator[str]:
    """The parts of a list between its commas, but for those within brackets."""
    depth = begin = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[begin:place].strip()
            begin = place + 1
    if rest := text[begin:].strip():
        yield rest
