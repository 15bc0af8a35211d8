"""Addresses of one port that others of its network may have too, on whatever host.

No two ports have one MAC or fixed IP address for their own, but ``allowed_address_pairs`` may give it to others. What
it gives to several, and is no port's own, is meant to be shared and is no conflict.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from apps.framework.host_view import LocalPort, RemotePort, ViewChange
from controller.agent.facts.port_facts import PortFacts
from controller.runtime.host_events import ADDRESS_CONFLICT, ADDRESS_CONFLICT_OVER

LOG = logging.getLogger(__name__)

_Address = tuple[str, str]
"""Network id, and MAC or IP address."""


class AddressConflicts:
    """Follows them in the networks of this host; costs what has changed."""

    def __init__(self, facts: PortFacts) -> None:
        self.lines: tuple[str, ...] = ()
        """One for each, sorted; replaced, never changed."""
        self._facts = facts
        self._found: dict[_Address, str] = {}

    def follow(self, change: ViewChange, port_ids: Iterable[str]) -> None:
        """Ports came, went or changed, here or on other hosts.

        :param port_ids: of those of which something that is not in the view may be otherwise too
        """
        addresses: set[_Address] = set()
        for port_id in {*port_ids, *change.ports, *change.remote_ports}:
            for view in (change.old, change.new):
                port = view.ports.get(port_id) or view.remote_ports.get(port_id)
                addresses |= set() if port is None else _addresses(port)
        differing = False
        for address in addresses:
            before, text = self._found.get(address), self._conflict(address, change)
            if text == before:
                continue
            differing = True
            if text is not None:
                self._found[address] = text
                LOG.warning("%s", text, extra=ADDRESS_CONFLICT.of(network=address[0], reason=text))
            elif before is not None:
                del self._found[address]
                LOG.info("no longer so: %s", before, extra=ADDRESS_CONFLICT_OVER.of(network=address[0], reason=before))
        if differing:
            self.lines = tuple(sorted(self._found.values()))

    def _conflict(self, address: _Address, change: ViewChange) -> str | None:
        network_id, value = address
        port_ids = change.new.ports_with(network_id, value)
        owners = [port_id for port_id in sorted(port_ids) if self._is_own(port_id, value)] if len(port_ids) > 1 else []
        if not owners:
            return None
        others = ", ".join(sorted(port_ids - {owners[0]}))
        return f"network {network_id}: {value} of port {owners[0]} may be used by others too: {others}"

    def _is_own(self, port_id: str, address: str) -> bool:
        port = self._facts.ports.get(port_id)
        if port is None:
            return False
        return address == port.mac_address or any(address == fixed.ip_address for fixed in port.fixed_ips)


def _addresses(port: LocalPort | RemotePort) -> set[_Address]:
    values = (port.mac_address, *port.allowed_macs, *(ip for ip, _ in port.addresses))
    return {(port.network_id, value) for value in values}
