"""A host to be measured: a private Open vSwitch, ``tunbridge run`` on it, and a watch over both."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apps.framework.local_vlans import DEAD_VLAN
from apps.integration_bridge import IntegrationBridge
from apps.tunnel_bridge import TunnelBridge
from bench.usage import processor
from bench.watch import BridgeWatch, Source, TableWatch, Watcher
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge

TIMEOUT = 120.0
"""Seconds after which a measurement is given up."""


@dataclass(frozen=True)
class Timing:
    """What happened to some ports, in seconds from the last one's OFPT_PORT_STATUS.

    :param flows: br-tun has their flows
    :param tagged: the local OVSDB has their tags
    :param open: br-int drops their frames no more, so that they are on their network
    :param active: the topology has them ACTIVE
    :param cpu: seconds of processor that the controller took for all of it, from the plugging on
    :param seen_at: when the last one's OFPT_PORT_STATUS came, as of :func:`time.time`
    """

    flows: float
    tagged: float
    open: float
    active: float
    cpu: float
    seen_at: float = 0.0

    @property
    def bound(self) -> float:
        """Flows in place and tag committed."""
        return max(self.flows, self.tagged)


def device(number: int) -> Device:
    """A device for one of the ports of :func:`document`."""
    mac = (0xFA163E000000 + number).to_bytes(6, "big").hex(":")
    return Device(f"tap{number}", f"{number:08x}-0000-4000-8000-000000000001", mac)


def active_ports(status: Mapping[str, Any]) -> int:
    """How many devices are ACTIVE, by what ``tunbridge status`` says."""
    return sum(port["status"] == "ACTIVE" for port in status.get("ports", ()))


def network_id(number: int) -> str:
    """Id of a network of :func:`document`."""
    return f"{number:08x}-0000-4000-8000-000000000002"


def document(networks: int, ports: int) -> dict[str, Any]:
    """A topology of GRE networks with the ports 1 … ``ports`` spread over them."""
    return {
        "networks": [
            {
                "id": network_id(number),
                "provider:network_type": "gre",
                "provider:segmentation_id": 1 + number,
                "ports": [
                    {"id": device(port).port_id, "mac_address": device(port).mac}
                    for port in range(1, ports + 1)
                    if port % networks == number
                ],
            }
            for number in range(networks)
        ]
    }


class MeasuredHost:
    """Plugs devices and tells when what happened."""

    def __init__(self, ovs: OvsHost, tunbridge: Tunbridge | None, require: Callable[[], None] = lambda: None) -> None:
        """
        :param tunbridge: None: somebody else binds ports here, who knows of no topology
        :param require: raises when whoever binds ports has ended
        """
        self._ovs, self._tunbridge, self._require = ovs, tunbridge, require
        rundir = ovs.rundir
        self._integration = BridgeWatch(rundir / "br-int.mgmt")
        self._tunnel = BridgeWatch(rundir / "br-tun.mgmt")
        self._tags = TableWatch(ovs.db_sock, "Open_vSwitch", "Port", "name", "tag")
        self._states: TableWatch | None = None
        if tunbridge is not None:
            topology = tunbridge.run_path / "topology.sock"
            self._states = TableWatch(topology, "Tunbridge_Topology", "Port", "id", "status")
        self.watcher = Watcher(*self._sources)

    @property
    def _sources(self) -> tuple[Source, ...]:
        sources = self._integration, self._tunnel, self._tags
        return (*sources, self._states) if self._states is not None else sources

    def follow_too(self, other: MeasuredHost) -> None:
        """Read what another host says while this one is measured: whoever is not read is given up."""
        for source in other._sources:
            self.watcher.add(source)

    def plug(self, devices: Sequence[Device]) -> Timing:
        """Plug devices in one ovs-vsctl transaction and wait until all are up."""
        cpu = self._cpu()
        with self._vsctl(word for one in devices for word in one.plug_command("br-int", "")):
            self._until(lambda: self._are_up(devices), f"{len(devices)} ports up")
        start = max(self._integration.ports[one.name] for one in devices)
        return Timing(
            flows=max(self._tunnel.added[flow_cookie(one)] for one in devices) - start,
            tagged=max(self._tags.values[one.name][1] for one in devices) - start,
            open=max(self._integration.deleted.get(drop_cookie(one), start) for one in devices) - start,
            active=max(self._state(one)[1] for one in devices) - start,
            cpu=self._cpu() - cpu,
            seen_at=start + time.time() - time.monotonic(),
        )

    def unplug(self, devices: Sequence[Device]) -> None:
        """Unplug devices in one ovs-vsctl transaction and wait until nothing is left of them."""
        with self._vsctl(word for one in devices for word in ("--", "del-port", "br-int", one.name)):
            self._until(lambda: self._are_gone(devices), f"{len(devices)} ports gone")
        for one in devices:
            for seen in (self._tunnel.added, self._tunnel.deleted):
                seen.pop(flow_cookie(one), None)
            for seen in (self._integration.added, self._integration.deleted):
                seen.pop(drop_cookie(one), None)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def meanwhile() -> float:
            self._require()
            return 1.0

        self.watcher.until(condition, TIMEOUT, what, meanwhile)

    @contextmanager
    def _vsctl(self, words: Iterator[str]) -> Iterator[None]:
        process = subprocess.Popen(["ovs-vsctl", f"--db={self._ovs.db}", f"--timeout={TIMEOUT:.0f}", *words])
        try:
            yield
        finally:
            if process.wait():
                raise RuntimeError(f"ovs-vsctl ended with status {process.returncode}")

    def _are_up(self, devices: Sequence[Device]) -> bool:
        return all(
            self._state(one)[0] in ("ACTIVE", None)
            and self._tags.values.get(one.name, (None,))[0] not in (None, DEAD_VLAN)
            and flow_cookie(one) in self._tunnel.added
            and self._is_open(one)
            for one in reversed(devices)
        )

    def _is_open(self, one: Device) -> bool:
        drop = drop_cookie(one)
        if self._tunbridge is None:  # who adds it when the port is there, and not before
            return drop in self._integration.deleted
        return self._integration.deleted.get(drop, 0.0) >= self._integration.added.get(drop, 0.0)

    def _are_gone(self, devices: Sequence[Device]) -> bool:
        return all(
            self._state(one)[0] in ("DOWN", None)
            and one.name not in self._tags.values
            and one.name not in self._integration.ports
            and flow_cookie(one) in self._tunnel.deleted
            for one in reversed(devices)
        )

    def _state(self, one: Device) -> tuple[str | None, float]:
        """Status of its port in the topology, and since when; None: there is no topology."""
        if self._states is None:
            return None, self._tags.values.get(one.name, (None, 0.0))[1]
        status: tuple[str, float] = self._states.values.get(one.port_id or "", ("", 0.0))
        return status

    def _cpu(self) -> float:
        return processor(self._tunbridge.pid) if self._tunbridge is not None else 0.0


def flow_cookie(one: Device) -> int:
    """Of its flow on br-tun."""
    return TunnelBridge().cookie(one.port_id or "")


def drop_cookie(one: Device) -> int:
    """Of the flow on br-int that drops its frames until it is on its network."""
    return IntegrationBridge().cookie(one.name)


@contextmanager
def measured_host(
    hub: str, options: Mapping[str, Mapping[str, object]], networks: int, ports: int
) -> Iterator[tuple[OvsHost, Tunbridge, MeasuredHost]]:
    """A host with a topology of so many ports, none of them plugged, and the controller in sync."""
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub, options=options) as tunbridge:
        tunbridge.apply(document(networks, ports))
        tunbridge.wait_in_sync(120)
        host = MeasuredHost(ovs, tunbridge)
        with host.watcher:
            yield ovs, tunbridge, host
