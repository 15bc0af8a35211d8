"""Frames of the interfaces of this host, as its Open vSwitch counts them in the local OVSDB.

Read when somebody scrapes, by one question, in the process that serves HTTP: neither ovs-vswitchd nor the controller
has anything to do with it. ovs-vswitchd writes them there every 5 s (``other_config:stats-update-interval``).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from prometheus_client.metrics_core import Metric as Family

from controller.runtime.metric_families import Kind, Metric
from controller.status.traffic.counter_growth import CounterGrowth
from topology.errors import TopologyError
from topology.model import NetworkType
from topology.ovsdb.tls import TlsFiles
from topology.server.ovsdb_tools import ovsdb_client

_SEEN_BY_OVS = "direction is as seen by Open vSwitch"


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"tunbridge_{name}_total", Kind.COUNTER, text, labels)


FRAMES = _counter(
    "frames", f"Frames of all devices with an iface-id, and of all tunnels; {_SEEN_BY_OVS}", "kind", "direction"
)
BYTES = _counter("bytes", "Bytes of these frames", "kind", "direction")
LOST = _counter("lost_frames", "Frames that their interfaces have lost", "kind", "direction", "reason")
PORT_FRAMES = _counter(
    "port_frames", "Frames of one port, with [metrics] traffic = ports", "port", "device", "direction"
)
PORT_BYTES = _counter("port_bytes", "Bytes of these frames", "port", "device", "direction")
PORT_LOST = _counter(
    "port_lost_frames", "Frames that its device has lost, where it has", "port", "device", "direction", "reason"
)
UNTOLD = Metric(
    "tunbridge_ports_untold",
    Kind.GAUGE,
    "Ports of this host of which nothing is told by themselves, since they are beyond [metrics] traffic_ports",
)

_DIRECTIONS = {"received": "rx", "sent": "tx"}
_UNITS = {FRAMES: "packets", BYTES: "bytes"}
_REASONS = ("dropped", "errors")
_OF_PORTS = {FRAMES: PORT_FRAMES, BYTES: PORT_BYTES}
_TUNNELS = frozenset(kind.value for kind in NetworkType if kind.is_tunnel)
_KINDS = ("device", "tunnel")
_PORT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FRESH = 1.0
"""Seconds for which one answer is told, whoever asks."""

_COLUMNS = ["_uuid", "name", "type", "external_ids", "statistics"]
_SELECT = json.dumps(["Open_vSwitch", {"op": "select", "table": "Interface", "where": [], "columns": _COLUMNS}])


@dataclass(frozen=True)
class CountedInterface:
    """An interface that frames of networks pass.

    :param kind: ``device`` or ``tunnel``
    :param port_id: of a device whose ``iface-id`` may be that of a port
    :param statistics: e.g. ``rx_packets`` → number
    """

    uuid: str
    name: str
    kind: str
    port_id: str | None
    statistics: Mapping[str, int]


def counted(row: Mapping[str, Any]) -> CountedInterface | None:
    """A row of the table Interface; None where it is neither a device nor a tunnel.

    :param row: as RFC 7047 §5.1 has it
    """
    iface_id = dict(row["external_ids"][1]).get("iface-id")
    kind = "tunnel" if row["type"] in _TUNNELS else "device" if iface_id else None
    if kind is None:
        return None
    port_id = str(iface_id or "").lower()
    port = port_id if kind == "device" and _PORT_ID.fullmatch(port_id) else None
    return CountedInterface(row["_uuid"][1], row["name"], kind, port, dict(row["statistics"][1]))


class InterfaceMetrics:
    """What interfaces have let pass since this process was started, and before that those that were there.

    :param connection: ``[ovs] ovsdb_connection``
    :param ports: of how many ports it is told by themselves
    """

    def __init__(self, connection: str, tls: TlsFiles | None, ports: int) -> None:
        self._connection = connection
        self._tls = tls
        self._ports = ports
        names = [f"{way}_{what}" for way in _DIRECTIONS.values() for what in (*_UNITS.values(), *_REASONS)]
        self._growth: CounterGrowth[tuple[str, str], tuple[str, str]] = CounterGrowth(product(_KINDS, names))
        self._reading = threading.Lock()
        self._interfaces: list[CountedInterface] = []
        self._next = 0.0

    def collect(self) -> Iterator[Family]:
        """The metrics of this module; those of before where the OVSDB does not answer."""
        with self._reading:
            if time.monotonic() >= self._next:
                self._read()
                self._next = time.monotonic() + _FRESH
        totals = self._growth.totals
        for metric, unit in _UNITS.items():
            yield metric.family(
                {(kind, way): totals[kind, f"{short}_{unit}"] for kind in _KINDS for way, short in _DIRECTIONS.items()}
            )
        ways = product(_KINDS, _DIRECTIONS.items(), _REASONS)
        yield LOST.family({(kind, way, why): totals[kind, f"{short}_{why}"] for kind, (way, short), why in ways})
        if self._ports:
            yield from self._of_ports()

    def _read(self) -> None:
        try:
            [answer] = json.loads(ovsdb_client("transact", self._connection, _SELECT, tls=self._tls))
        except TopologyError:
            return
        found = [interface for row in answer["rows"] if (interface := counted(row)) is not None]
        kinds = {one.uuid: one.kind for one in found}
        counters = {(one.uuid, name): value for one in found for name, value in one.statistics.items()}
        self._growth.update(counters, lambda owner: (kinds[owner[0]], owner[1]))
        self._interfaces = found

    def _of_ports(self) -> Iterator[Family]:
        ports = sorted((one.port_id, one.name, one.statistics) for one in self._interfaces if one.port_id is not None)
        told = ports[: self._ports]
        for metric, unit in _UNITS.items():
            yield _OF_PORTS[metric].family(
                {
                    (port_id, device, way): values.get(f"{short}_{unit}", 0)
                    for port_id, device, values in told
                    for way, short in _DIRECTIONS.items()
                }
            )
        yield PORT_LOST.family(
            {
                (port_id, device, way, why): lost
                for port_id, device, values in told
                for way, short in _DIRECTIONS.items()
                for why in _REASONS
                if (lost := values.get(f"{short}_{why}", 0))
            }
        )
        yield UNTOLD.family(len(ports) - len(told))
