"""The tables of br-int behind which secured ports are, what passes from one to the next, and when they change.

A frame is untagged in them: the tag is its network's local VLAN, which register 10 has instead.
"""

from __future__ import annotations

from enum import IntEnum

from apps.framework.flow import IN_PORT, XXREGS, Field, LoadBits, Resubmit, SetField, Term
from apps.framework.host_view import HostView, LocalNetwork, ViewChange
from topology.security_groups import Direction


class FilterTable(IntEnum):
    """A table of br-int."""

    ENTRY = 10
    PORT_SECURITY = 11
    DISCOVERY = 12
    EGRESS = 20
    EGRESS_STATE = 21
    EGRESS_PORT = 22
    EGRESS_GROUP = 23
    EGRESS_REMOTE = 24
    EGRESS_RULES = 25
    EGRESS_ACCEPTED = 26
    DELIVERY = 40
    INGRESS_ALWAYS = 50
    INGRESS = 51
    INGRESS_STATE = 52
    INGRESS_PORT = 53
    INGRESS_GROUP = 54
    INGRESS_REMOTE = 55
    INGRESS_RULES = 56
    INGRESS_ACCEPTED = 57
    COPIES = 58
    COMMIT = 60


# Register 8. Bit 0: rules of the sender accept the frame; bit 1: stateful rules; bit 2: rules of the receiver.
SENDER_ACCEPTS = Term(Field.REG8, 1, 1)
IS_STATEFUL = Term(Field.REG8, 2, 2)
RECEIVER_ACCEPTS = Term(Field.REG8, 4, 4)
NOT_YET_ACCEPTED = LoadBits(2, 1, 0)
"""The next receiver's rules are to be asked."""


def acceptance(direction: Direction, *, stateful: bool) -> LoadBits:
    """What a rule that accepts does."""
    if direction is Direction.EGRESS:
        return LoadBits(0, 2, 3) if stateful else LoadBits(0, 1, 1)
    return LoadBits(1, 2, 3) if stateful else LoadBits(2, 1, 1)


def to(table: FilterTable) -> Resubmit:
    """Go on in a table; come back when that is done."""
    return Resubmit(IN_PORT, table)


def number_of(group_id: str) -> int:
    """The 128 bits of a UUID."""
    return int(group_id.replace("-", ""), 16)


def xxreg(number: int, value: int) -> tuple[Term, ...]:
    """128 bits of four registers, as a match has them."""
    return tuple(
        Term(field, value >> shift & 0xFFFF_FFFF) for field, shift in zip(XXREGS[number], (96, 64, 32, 0), strict=True)
    )


def of_network(local: LocalNetwork) -> SetField:
    """What says of which network a frame is."""
    return SetField(Field.REG10, local.vlan)


def in_network(local: LocalNetwork) -> Term:
    """The frame is of that network."""
    return Term(Field.REG10, local.vlan)


def uplink(view: HostView, local: LocalNetwork) -> int | None:
    """The patch of br-int by which a network leaves the host; None: it does not, or not now."""
    network = local.network
    if network.network_type.is_tunnel:
        return view.patch_tun
    physical = view.physical.get(network.physical_network or "")
    return None if physical is None else physical.int_port


def is_secured(view: HostView, network_id: str) -> bool:
    """Whether a network has a secured port here."""
    return bool(view.secured_ports_of(network_id))


def secured_otherwise(change: ViewChange) -> set[str]:
    """Ids of the networks that are secured in one of the views alone."""
    old, new = change.old, change.new
    networks = {view.ports[key].network_id for key in change.ports for view in (old, new) if key in view.ports}
    return {key for key in networks if is_secured(old, key) is not is_secured(new, key)}
