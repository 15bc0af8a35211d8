"""Frames that flows of ours have dropped, by the band of the pipeline that says why.

The bridges are asked at their management sockets, so that no change of flows waits for the answer on the controller's
connection. ovs-vswitchd does nothing else while it collects flows, some microseconds each: so it is asked for those of
applications that drop, and never for more than a hundredth of the time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp
from prometheus_client.metrics_core import Metric as Family

from apps import APPLICATIONS
from apps.framework.cookie import OBJECT_MASK, cookie
from apps.framework.pipeline import BridgeRole, Place
from controller.agent.patches import roles
from controller.openflow.channel.openflow_client import Client
from controller.openflow.wire.flow_counters import DropCount, app_flows_request, decode_drops
from controller.runtime.metric_families import Kind, Metric
from controller.status.host_status import RunningHost, device_states
from controller.status.traffic.counter_growth import CounterGrowth
from topology.errors import OpenFlowError

LOG = logging.getLogger(__name__)

DROPPED = Metric(
    "tunbridge_dropped_frames_total",
    Kind.COUNTER,
    "Frames that flows have dropped, by the band of the pipeline that they are in",
    ("bridge", "band"),
)
PORT_DROPPED = Metric(
    "tunbridge_port_dropped_frames_total",
    Kind.COUNTER,
    "The same of one port, where it is not 0; with [metrics] traffic = ports",
    ("port", "device", "bridge", "band"),
)

_FRESH = 1.0
"""Seconds for which one answer is told, whoever asks."""

_SHARE = 100
"""After an answer that took a second, no bridge is asked for so many seconds."""

_TIMEOUT = 5.0
"""Seconds for the connection to a bridge, and for each answer."""

_FlowOf = tuple[int, int, int, bytes]
"""Table, priority, cookie and match of a flow."""

_BANDS: Mapping[Place, str] = {band.place: band.name for app in APPLICATIONS for band in app.bands}
_DROPPING = {
    role: sorted(
        {(app.number, int(band.table)) for app in APPLICATIONS for band in app.bands
         if band.role is role and (band.dropped or not band.actions)}
    )
    for role in BridgeRole
}  # fmt: skip
"""Role of a bridge → numbers of the applications that drop there, and tables where they do. Others have flows by the
thousand: those of rules, and of members of groups."""


class DropMetrics:
    """What the bridges of a host have dropped since its controller was started, and before that by flows that stood.

    :param rundir: where bridges have their management sockets
    :param ports: of how many ports it is told too
    """

    def __init__(self, host: RunningHost, rundir: Path, ports: int) -> None:
        self._host = host
        self._rundir = rundir
        self._ports = ports
        self._roles = roles(host.agent.snapshot.names)
        self._bands: dict[str, CounterGrowth[_FlowOf, str]] = {
            bridge: CounterGrowth(name for place, name in _BANDS.items() if place[0] is role and _drops(place))
            for bridge, role in self._roles.items()
        }
        self._objects: dict[str, CounterGrowth[_FlowOf, tuple[str, int]]] = {
            bridge: CounterGrowth() for bridge in self._roles
        }
        """The same by band and digest of the object that a flow is for."""
        self._reading = threading.Lock()
        self._next = 0.0

    def collect(self) -> Iterator[Family]:
        """The metrics of this module."""
        with self._reading:
            if time.monotonic() >= self._next:
                self._read()
        bands = self._bands.items()
        yield DROPPED.family({(on, band): frames for on, growth in bands for band, frames in growth.totals.items()})
        if self._ports:
            yield PORT_DROPPED.family(dict(self._of_ports()))

    def _read(self) -> None:
        began = time.monotonic()
        for bridge, role in self._roles.items():
            try:
                self._update(bridge, role, self._dropped(bridge, role))
            except OpenFlowError as error:  # mostly it is not there; what it had is told on
                LOG.debug("bridge %s tells nothing of what it drops: %s", bridge, error)
        now = time.monotonic()
        self._next = now + max(_FRESH, _SHARE * (now - began))

    def _dropped(self, bridge: str, role: BridgeRole) -> list[DropCount]:
        def decode(part: bytes) -> list[DropCount]:
            hub.sleep(0)  # some hundred flows
            return decode_drops(part)

        found = []
        with closing(Client(self._rundir / f"{bridge}.mgmt", (ofp.OFP_VERSION,), _TIMEOUT)) as client:
            for app, table in _DROPPING[role]:
                for part in client.ask(partial(app_flows_request, app, table), ofp.OFPT_MULTIPART_REPLY, decode):
                    found += part
        return found

    def _update(self, bridge: str, role: BridgeRole, found: list[DropCount]) -> None:
        counters: dict[_FlowOf, int] = {one[:4]: one.frames for one in found}

        def band(flow: _FlowOf) -> str:
            return _BANDS.get((role, flow[0], flow[1]), "none")

        def band_and_object(flow: _FlowOf) -> tuple[str, int]:
            return band(flow), flow[2] & OBJECT_MASK

        self._bands[bridge].update(counters, band)
        if self._ports:
            self._objects[bridge].update(counters, band_and_object)

    def _of_ports(self) -> Iterator[tuple[tuple[str, ...], float]]:
        devices = device_states(self._host.agent.snapshot)[: self._ports]
        names = {cookie(0, name) & OBJECT_MASK: one for one in devices for name in (one.port_id, one.device)}
        for bridge, growth in self._objects.items():
            growth.forget_others([group for group in growth.totals if group[1] in names])
            for (band, digest), frames in growth.totals.items():
                of = names[digest]
                yield (of.port_id, of.device, bridge, band), frames


def _drops(place: Place) -> bool:
    """Whether all that comes to a band ends there."""
    return any(band.place == place and not band.actions for app in APPLICATIONS for band in app.bands)
