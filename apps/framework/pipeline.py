"""The pipeline, declared in one place: which flows may stand in which band of which bridge.

docs/pipeline.md is generated from these declarations (``python -m apps.framework.pipeline_page``), and
:mod:`apps.framework.compiler` refuses a flow that breaks them, so that two apps cannot grow into each other unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from apps.framework.flow import Action, Field, Flow, ModVlanVid, Normal, Output, PopVlan, SetTunnel


class BridgeRole(Enum):
    """What a bridge is for."""

    INTEGRATION = "integration bridge"
    TUNNEL = "tunnel bridge"
    PHYSICAL = "physical bridge"


@dataclass(frozen=True)
class BandSpec:
    """One priority band of one bridge.

    :param priority: OpenFlow priority of every flow in the band
    :param fields: the fields that a flow may match on
    :param actions: the actions that a flow may have
    :param meaning: what the band does, for the pipeline page
    """

    role: BridgeRole
    priority: int
    fields: frozenset[Field]
    actions: frozenset[type[Action]]
    meaning: str


class Band(Enum):
    """All bands, lowest first on each bridge."""

    INT_NORMAL = BandSpec(
        BridgeRole.INTEGRATION,
        1,
        frozenset(),
        frozenset({Normal}),
        "Everything is switched by MAC learning within its local VLAN (the port's tag).",
    )
    INT_DROP = BandSpec(
        BridgeRole.INTEGRATION,
        2,
        frozenset({Field.IN_PORT}),
        frozenset(),
        "A device that is not bound sends nothing: no such port, administratively down, on another host, "
        "or its tag is not committed yet. From a physical bridge, what is of no network that has ports here is "
        "dropped.",
    )
    INT_PROVIDER_INBOUND = BandSpec(
        BridgeRole.INTEGRATION,
        3,
        frozenset({Field.IN_PORT, Field.VLAN_VID}),
        frozenset({ModVlanVid, Normal}),
        "From a physical bridge: the segmentation id of a VLAN network, or no tag for a flat one, becomes the "
        "network's local VLAN.",
    )
    TUN_DROP = BandSpec(
        BridgeRole.TUNNEL,
        1,
        frozenset(),
        frozenset(),
        "What no other band wants is dropped: what came out of one tunnel and is not for this host goes into no other.",
    )
    TUN_INBOUND = BandSpec(
        BridgeRole.TUNNEL,
        3,
        frozenset({Field.TUN_ID, Field.ETH_DST}),
        frozenset({ModVlanVid, Output, Normal}),
        "From a tunnel: multicast of a network that has ports here, and unicast to a MAC that is here, get the "
        "network's local VLAN, whether they arrive tagged or untagged.",
    )
    TUN_OUTBOUND = BandSpec(
        BridgeRole.TUNNEL,
        4,
        frozenset({Field.IN_PORT, Field.VLAN_VID}),
        frozenset({SetTunnel, Normal}),
        "From br-int: the local VLAN becomes the network's tunnel id; MAC learning finds the peer.",
    )

    PHY_NORMAL = BandSpec(
        BridgeRole.PHYSICAL,
        1,
        frozenset(),
        frozenset({Normal}),
        "The bridge goes on being the switch that it was.",
    )
    PHY_DROP = BandSpec(
        BridgeRole.PHYSICAL,
        2,
        frozenset({Field.IN_PORT}),
        frozenset(),
        "From br-int: what is of no network of this physical network is dropped.",
    )
    PHY_OUTBOUND = BandSpec(
        BridgeRole.PHYSICAL,
        4,
        frozenset({Field.IN_PORT, Field.VLAN_VID}),
        frozenset({ModVlanVid, PopVlan, Normal}),
        "From br-int: the local VLAN becomes the segmentation id of a VLAN network, or no tag for a flat one.",
    )

    @property
    def spec(self) -> BandSpec:
        """The declaration."""
        return self.value


_BY_PLACE = {(band.spec.role, band.spec.priority): band for band in Band}


def violation(role: BridgeRole, flow: Flow) -> str | None:
    """What is wrong with a flow on a bridge of this role, or None when the pipeline allows it."""
    band = _BY_PLACE.get((role, flow.priority)) if flow.table == 0 else None
    if band is None:
        return f"the {role.value} has no band at table {flow.table}, priority {flow.priority}"
    fields = {term.field for term in flow.match.terms} - band.spec.fields
    if fields:
        return f"{band.name} does not match on {', '.join(sorted(field.label for field in fields))}"
    actions = {type(action) for action in flow.actions} - band.spec.actions
    if actions:
        return f"{band.name} does not do {', '.join(sorted(action.__name__ for action in actions))}"
    return None
