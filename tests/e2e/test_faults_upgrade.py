"""A controller is replaced by one of another release, and back: what it needs is in place before what was goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.host.tunbridge import ROOT
from tests.support.lab.fault_lab import BRIDGES, FaultLab, undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.probe import Probe
from tests.support.lab.releases import RELEASES, Release
from tests.support.lab.secured_lab import LABS
from tests.support.openflow.flow_monitor import FlowEvent, watch

SHORT = 1
"""So many releases are tried in the short run: the first differs in most."""


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[FaultLab]:
    with request.param() as lab:
        lab.build()
        yield lab


def is_make_before_break(events: list[FlowEvent]) -> bool:
    """Nothing is added after the first flow has gone."""
    kinds = [event.kind for event in events]
    return "ADDED" not in kinds[kinds.index("DELETED") :] if "DELETED" in kinds else True


@pytest.mark.parametrize(
    "release",
    [pytest.param(release, marks=[] if number < SHORT else [pytest.mark.long], id=release.name)
     for number, release in enumerate(RELEASES)],
)  # fmt: skip
def test_downgrade_and_upgrade(lab: FaultLab, fault_report: FaultReport, release: Release) -> None:
    """To another release and back to this one, whose flows, and no others, are there at the end."""
    controller, host = lab.controller, lab.controller.host
    devices = lab.rows(host).keys()
    tables, tags = lab.tables(host), host.ovs.tags()
    rows = {device: host.ovs.row("Port", device)["other_config"] for device in devices}
    now, slowest = rows, 0.0
    other = release.make(lab.directory / release.name)
    try:
        with Probe(lab, lab.streams()) as probe:
            for root in (other, ROOT):
                before = lab.tables(host), now
                with ExitStack() as stack:
                    watches = {bridge: stack.enter_context(watch(host.ovs, bridge)) for bridge in BRIDGES}
                    controller.stop()
                    controller.root = root
                    began = time.monotonic()
                    controller.start()
                    slowest = max(slowest, lab.settle(controller) - began)
                    for bridge, watched in watches.items():
                        assert is_make_before_break(watched.events()), f"{bridge}: {watched.events()}"
                now = {device: host.ovs.row("Port", device)["other_config"] for device in devices}
                assert (lab.tables(host), now) != before, "it is no other release"
                assert host.ovs.tags() == tags
            result = probe.stop()
    finally:
        controller.root = ROOT
    undisturbed(result)
    assert lab.tables(host) == tables
    assert now == rows
    fault_report.add(f"another release with {release.name}, and back{lab.variant}", result, slowest)
