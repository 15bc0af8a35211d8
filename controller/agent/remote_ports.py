"""Ports on other hosts, in networks that are local here: what applications know of them.

Where a port is follows from the topology alone: the host that ``binding:host_id`` names, which is the only one that may
wire it, or else the one that has bound it. A host that has been silent for long keeps its ports, for its data plane may
live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from apps.framework.host_view import HostView, LocalNetwork, RemotePort
from controller.agent.binding import Bindings
from controller.agent.facts.port_facts import PortFacts
from topology.rules.allocation.address_allocation import is_router


class RemotePorts:
    """Follows them; costs what has changed."""

    def __init__(self, facts: PortFacts, bindings: Bindings) -> None:
        self._facts = facts
        self._bindings = bindings
        self._untold: set[str] = set()
        """Networks that are local, and of whose ports the topology may have more to tell; what is followed as a whole
        is told as a whole."""

    def update(
        self,
        view: HostView,
        networks: Mapping[str, LocalNetwork | None],
        members: Mapping[str, Iterable[str]],
        port_ids: Collection[str],
    ) -> dict[str, RemotePort | None]:
        """What is otherwise.

        :param view: the last one
        :param networks: those that have changed since; None: it is local no more
        :param members: network id → ids of its ports that are bound here
        :param port_ids: of the ports that something else may be so of
        :returns: id → the port, None where it is not on another host, or its network is not here
        """
        concerned = set(port_ids)
        for network_id, local in networks.items():
            if local is None:
                self._untold.discard(network_id)
                concerned.update(view.remote_ports_of(network_id))
            elif network_id not in view.networks:
                self._untold.add(network_id)
        for network_id in [*self._untold]:
            if not any(map(self._facts.followed.is_open, members.get(network_id, ()))):
                self._untold.discard(network_id)
                concerned.update(self._facts.ports_of(network_id))
        return {port_id: self._remote(port_id, view, networks) for port_id in concerned}

    def _remote(self, port_id: str, view: HostView, networks: Mapping[str, LocalNetwork | None]) -> RemotePort | None:
        port = self._facts.ports.get(port_id)
        if port is None or port.network_id in self._untold:
            return None
        network_id, is_here = port.network_id, self._bindings.bound(port_id) is not None
        if is_here and port.migrating_to is None:
            return None
        local = networks[network_id] if network_id in networks else view.networks.get(network_id)
        of = (port.requested_host or port.host, port.migrating_to)
        hosts = tuple(host for host in of if host is not None and host != self._facts.host)
        if local is None or not hosts:
            return None
        addresses = port.addresses if port.host is not None and not is_here else ()
        return RemotePort(
            port_id, network_id, hosts[0], port.mac_address, port.allowed_macs, addresses,
            is_router=is_router(port.device_owner), others=hosts[1:],
        )  # fmt: skip
