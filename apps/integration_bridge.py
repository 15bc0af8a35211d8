"""br-int: a learning switch in which every tenant network is a local VLAN, and dead devices are kept quiet."""

from __future__ import annotations

from collections.abc import Iterator

from apps.cookie import App, cookie
from apps.flow import Flow, Normal, match
from apps.host_view import DeadPort
from apps.pipeline import Band


def base_flows() -> Iterator[Flow]:
    """The bridge on its own.

    ``priority=1 actions=NORMAL``
    """
    yield Flow(Band.INT_NORMAL.spec.priority, match(), (Normal(),), cookie(App.INTEGRATION_BRIDGE, ""))


def dead_port_flows(dead: DeadPort) -> Iterator[Flow]:
    """Keep a device from sending.

    ``priority=2,in_port=7 actions=drop``
    """
    yield Flow(
        Band.INT_DEAD_PORT.spec.priority,
        match(in_port=dead.ofport),
        (),
        cookie(App.INTEGRATION_BRIDGE, dead.device),
    )
