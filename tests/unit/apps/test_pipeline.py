"""The declared pipeline refuses what no band declares."""

from __future__ import annotations

import itertools

import pytest

from apps import APPLICATIONS
from apps.framework.flow import Action, Flow, Match, ModVlanVid, Normal, Output, PopVlan, SetTunnel, match
from apps.framework.pipeline import BridgeRole, Pipeline

PIPELINE = Pipeline(APPLICATIONS)
INTEGRATION, TUNNEL, PHYSICAL = BridgeRole
MAC = "fa:16:3e:02:dd:79"

ALLOWED: list[tuple[BridgeRole, int, Match, tuple[Action, ...]]] = [
    (INTEGRATION, 1, match(), (Normal(),)),
    (INTEGRATION, 2, match(in_port=7), ()),
    (INTEGRATION, 5, match(in_port=7, tagged=True), ()),
    (INTEGRATION, 5, match(in_port=7, dl_type=0x9100), ()),
    (TUNNEL, 1, match(), ()),
    (TUNNEL, 3, match(tun_id=2, multicast=True), (ModVlanVid(1), Output(1))),
    (TUNNEL, 3, match(tun_id=2, dl_dst=MAC), (ModVlanVid(1), Normal())),
    (TUNNEL, 4, match(in_port=1, dl_vlan=1), (SetTunnel(2), Normal())),
    (TUNNEL, 8, match(in_port=1, dl_vlan=1, dl_dst=MAC), ()),
    (PHYSICAL, 5, match(in_port=1, dl_vlan=1, dl_dst=MAC), ()),
]

REFUSED: list[tuple[BridgeRole, int, Match, tuple[Action, ...], str]] = [
    (INTEGRATION, 1, match(in_port=7), (Normal(),), "INT_NORMAL does not match on in_port"),
    (INTEGRATION, 2, match(in_port=7), (Normal(),), "INT_DROP does not do Normal"),
    (INTEGRATION, 5, match(in_port=7), (Normal(),), "INT_TAGGED does not do Normal"),
    (INTEGRATION, 4, match(), (), "the integration bridge has no band at table 0, priority 4"),
    (TUNNEL, 1, match(), (Normal(),), "TUN_DROP does not do Normal"),
    (TUNNEL, 2, match(), (), "the tunnel bridge has no band at table 0, priority 2"),
    (TUNNEL, 3, match(in_port=1, dl_vlan=1), (Normal(),), "TUN_INBOUND does not match on in_port, vlan_vid"),
    (TUNNEL, 4, match(tun_id=2), (Normal(),), "TUN_OUTBOUND does not match on tun_id"),
    (TUNNEL, 8, match(in_port=1, dl_dst=MAC), (Normal(),), "TUN_LOCAL does not do Normal"),
    (TUNNEL, 4, match(in_port=1), (PopVlan(), Output(3)), "TUN_OUTBOUND does not do Output, PopVlan"),
]


@pytest.mark.parametrize(("role", "priority", "condition", "actions"), ALLOWED)
def test_the_flows_of_the_specification_are_allowed(
    role: BridgeRole, priority: int, condition: Match, actions: tuple[Action, ...]
) -> None:
    """Each flow of the reference host has its band."""
    assert PIPELINE.violation(role, Flow(priority, condition, actions, cookie=0), role.value) is None


@pytest.mark.parametrize(("role", "priority", "condition", "actions", "reason"), REFUSED)
def test_what_no_band_declares_is_refused(
    role: BridgeRole, priority: int, condition: Match, actions: tuple[Action, ...], reason: str
) -> None:
    """A priority, field or action that is not declared there is named."""
    assert PIPELINE.violation(role, Flow(priority, condition, actions, cookie=0), role.value) == reason


def test_other_tables_are_refused() -> None:
    """A flow of a band stands in table 0 only."""
    flow = Flow(1, match(), (Normal(),), cookie=0, table=3)
    assert (
        PIPELINE.violation(INTEGRATION, flow, "integration bridge")
        == "the integration bridge has no band at table 3, priority 1"
    )


def test_bands_of_others_are_refused() -> None:
    """An application has flows in its own bands alone, whatever the band allows."""
    flow = Flow(2, match(in_port=7), (), cookie=0)
    reason = PIPELINE.violation(INTEGRATION, flow, "tunnel bridge")
    assert reason == "INT_DROP is a band of application integration bridge, not of tunnel bridge"


def test_bands_are_declared_in_order() -> None:
    """No two bands of a table have one priority, they are declared lowest first, and each says what it is for."""
    for app in APPLICATIONS:
        for _, group in itertools.groupby(app.bands, key=lambda band: band.role):
            places = [(band.table, band.priority) for band in group]
            assert places == sorted(set(places))
        assert all(band.meaning.endswith(".") for band in app.bands)
    assert {band.name for band in PIPELINE.bands} == {band.name for app in APPLICATIONS for band in app.bands}
    assert len({band.place for band in PIPELINE.bands}) == len(PIPELINE.bands) == 81
