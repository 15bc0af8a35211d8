"""What has changed in the topology, as events: networks and ports that come and go, their states, hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from controller.runtime.host_events import (
    HOST_JOINED,
    HOST_LEFT,
    NETWORK_CREATED,
    NETWORK_DELETED,
    NETWORK_UPDATED,
    PORT_CREATED,
    PORT_DELETED,
    PORT_STATUS,
    PORT_UPDATED,
)
from topology.event_kinds import HostEvent
from topology.model import Host, Network, Port, PortStatus
from topology.source import TopologyBatch

T = TypeVar("T")


class TopologyChanges:
    """Follows one topology, batch by batch, in one thread. What is there at first is no event."""

    def __init__(self) -> None:
        self._networks: dict[str, Network] = {}
        self._ports: dict[str, Port] = {}
        self._hosts: dict[str, Host] = {}
        self._is_known = False

    def follow(self, batch: TopologyBatch) -> list[HostEvent]:
        """What a batch has changed; after an outage what has changed meanwhile."""
        found: list[HostEvent] = []
        for network, new_network in _changes(self._networks, batch.networks, batch.complete):
            found += _of_network(network, new_network)
        for port, new_port in _changes(self._ports, batch.ports, batch.complete):
            found += _of_port(port, new_port)
        for host, new_host in _changes(self._hosts, batch.hosts, batch.complete):
            found += _of_host(host, new_host)
        was_known, self._is_known = self._is_known, True
        return found if was_known else []


def _changes(known: dict[str, T], told: Mapping[str, T | None], complete: bool) -> list[tuple[T | None, T | None]]:
    """Each object of a batch as it was and as it is.

    :param known: is brought up to date
    :param complete: what is not in the batch is gone
    """
    found: list[tuple[T | None, T | None]] = []
    for key, after in {**(dict.fromkeys(known) if complete else {}), **told}.items():
        found.append((known.pop(key, None), after))
        if after is not None:
            known[key] = after
    return found


def _of_network(before: Network | None, after: Network | None) -> Iterator[HostEvent]:
    if after is None:
        if before is not None:
            yield NETWORK_DELETED.event(network=before.id)
    elif before is None:
        yield NETWORK_CREATED.event(network=after.id, name=after.name)
    elif before != after or before.mtu != after.mtu:
        yield NETWORK_UPDATED.event(network=after.id, name=after.name)


def _of_port(before: Port | None, after: Port | None) -> Iterator[HostEvent]:
    if after is None:
        if before is not None:
            yield PORT_DELETED.event(port=before.id, network=before.network_id)
        return
    if before is None:
        yield PORT_CREATED.event(port=after.id, network=after.network_id, name=after.name)
    elif _described(before) != _described(after):
        yield PORT_UPDATED.event(port=after.id, network=after.network_id, name=after.name)
    was = (PortStatus.DOWN, None) if before is None else (before.status, before.host)  # as a port is that is made
    if was != (after.status, after.host):
        yield PORT_STATUS.event(
            port=after.id, network=after.network_id, port_status=after.status.value, host=after.host
        )  # fmt: skip


def _described(port: Port) -> dict[str, object]:
    """All of a port but what its host says of it."""
    return {name: value for name, value in vars(port).items() if name not in ("status", "host")}


def _of_host(before: Host | None, after: Host | None) -> Iterator[HostEvent]:
    """Of these each controller has a line in its log; one more would be in the same file, and count twice."""
    if before is None and after is not None:
        yield HOST_JOINED.of(host=after.name)["event"]
    elif before is not None and after is None:
        yield HOST_LEFT.of(host=before.name)["event"]
