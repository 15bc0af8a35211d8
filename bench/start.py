"""How long a start takes on a host whose ports are bound and whose flows are in place, until all is known to be right.

1,000 ports are plugged in on a private Open vSwitch (dummy datapath), on 50 networks of 50 ports, whose other ports are
on other hosts, as are 7,500 of networks that do not concern the host. The topology has a server of its own, and the
controller follows what concerns its host, as it does unless told otherwise; the last figures are with all of it
followed. The controller is stopped and started anew, and has nothing to send.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.following import PER_NETWORK, Writer
from bench.host import active_ports, device
from bench.table import Row, table
from bench.usage import processor
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

_TIMEOUT = 120.0  # seconds
_HERE = 20
"""Ports of a network that are plugged in here."""
_PEERS = 3
_LIMIT, _SHARE = 2.0, 0.5  # seconds; of them until it serves
_BRIDGES = {"br-int", "br-tun"}
_LINE = re.compile(r"^(\S+ \S+) INFO \S+ (serving host|bridge (\S+) in sync)", re.MULTILINE)


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process.

    :param serves: Python, imports and configuration are behind it
    :param in_sync: all flows, tags and states of ports are as they should be
    :param processor: that it took until then
    """

    serves: float
    in_sync: float
    processor: float


def _peer(number: int) -> dict[str, Any]:
    """A host that has ports too, as a row of the topology."""
    return {
        "name": f"peer{number}",
        "tunnel_types": "gre",
        "tunnel_endpoints": ["named-uuid", f"ip{number}"],
        "instance": f"{number:08x}-0000-4000-8000-000000000004",
    }


def _fill(writer: Writer, ports: int, here: frozenset[int]) -> None:
    """The topology: other hosts, and all ports but those of this host bound to one of them."""
    operations = []
    for number in range(_PEERS):
        address = {"ip_address": f"192.0.2.{10 + number}"}
        operations += [
            {"op": "insert", "table": "TunnelEndpoint", "uuid-name": f"ip{number}", "row": address},
            {"op": "insert", "table": "Host", "row": _peer(number)},
        ]

    def columns(number: int) -> Mapping[str, Any]:
        if number in here:
            return {"requested_host": "host1"}
        peer = f"peer{number % _PEERS}"
        return {"requested_host": peer, "host": peer, "status": "ACTIVE"}

    writer.fill(ports, columns)
    writer.write(*operations)


def _start(tunbridge: Tunbridge, ports: int) -> Start:
    """Start it; it must be stopped."""
    before = len(tunbridge.log_text())

    def moments() -> dict[str, datetime]:
        found = _LINE.findall(tunbridge.log_text()[before:])
        return {bridge or what: datetime.fromisoformat(when) for when, what, bridge in found}

    began = datetime.now()
    tunbridge.start()
    wait_until(lambda: moments().keys() >= _BRIDGES, _TIMEOUT, lambda: f"in sync: {moments()}")
    used = processor(tunbridge.pid)
    status, end = tunbridge.quick_status(), max(moments().values())
    if not status.get("in_sync"):
        status = tunbridge.wait_in_sync(_TIMEOUT)
        used, end = processor(tunbridge.pid), datetime.now()
    assert active_ports(status) == ports, status["problems"]
    assert status["counters"]["flow_mods"] == 0, status["counters"]
    return Start((moments()["serving host"] - began).total_seconds(), (end - began).total_seconds(), used)


def _starts(follow: str, ports: int, here: frozenset[int], repetitions: int) -> list[Start]:
    """So many starts, one after the other."""
    with OvsdbServer() as server, OvsHost() as ovs:
        _fill(Writer(server.start()), ports, here)
        ovs.vsctl("add-br", "br-int")
        ovs.plug_many([device(number) for number in sorted(here)])
        options = {"topology": {"connection": server.connection, "follow": follow}, "ovs": {"local_ip": "192.0.2.1"}}
        with Tunbridge(ovs, hub="eventlet", options=options) as tunbridge:
            wait_until(lambda: active_ports(tunbridge.quick_status()) == len(here), _TIMEOUT, "all ports are up")
            tunbridge.wait_in_sync(_TIMEOUT)
            found = []
            for _ in range(repetitions):
                tunbridge.stop()
                time.sleep(1.0)  # until switch and server have nothing left to do
                found.append(_start(tunbridge, len(here)))
            return found


def _shown(name: str, starts: Sequence[Start]) -> Iterator[Row]:
    total = statistics.median(one.in_sync for one in starts)
    yield Row(f"{name}: in sync", total, "s", _LIMIT, "limit", 1.0)
    serves = statistics.median(one.serves for one in starts)
    yield Row(f"{name}: Python and imports", serves, "s", total, "all of it", _SHARE)
    yield Row(f"{name}: processor", statistics.median(one.processor for one in starts), "s")


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    networks, ports, repetitions = (2, 500, 1) if small else (50, 10_000, 5)
    here = frozenset(net * PER_NETWORK + number for net in range(networks) for number in range(1, _HERE + 1))
    name = f"start with {len(here):,} ports bound, {ports:,} in the topology"
    yield from _shown(name, _starts("host", ports, here, repetitions))
    yield from _shown(f"{name}, all followed", _starts("all", ports, here, 1 if small else 2))


if __name__ == "__main__":
    print(table(list(rows(small="--small" in sys.argv))))
