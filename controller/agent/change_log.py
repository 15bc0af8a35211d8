"""Says in the log what devices and bridges have become, each time that changes and not again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from controller.agent.binding import Bindings, PortBinding
from controller.agent.facts.port_facts import PortFacts
from controller.agent.local_networks import LocalChange, LocalNetworks
from controller.runtime.host_events import (
    BRIDGE_GONE,
    BRIDGE_MISSING,
    BRIDGE_THERE,
    DEVICE_GONE,
    DEVICE_REFUSED,
    MAC_DIFFERS,
    PORT_MOVED,
    TAG_REFUSED,
    VLAN_CHANGED,
)
from controller.vswitch.names import Names
from topology.model import Port, canonical_mac

LOG = logging.getLogger(__name__)


PATIENCE = 2.0
"""Seconds that Open vSwitch may take to make a device; mostly some milliseconds, and more for hundreds at once."""


class ChangeLog:
    """The log of one host's devices and bridges; remembers what it said last of each.

    Of a device that waits for its OpenFlow port that is said once it has waited for PATIENCE.
    """

    def __init__(self, names: Names, facts: PortFacts, bindings: Bindings, networks: LocalNetworks) -> None:
        self._names = names
        self._host = names.host
        self._facts = facts
        self._bindings = bindings
        self._networks = networks
        self._bridges: frozenset[str] | None = None
        self._said: dict[str, tuple[str | None, str | None]] = {}
        self._waiting: dict[str, tuple[float, str]] = {}
        """Device that waits for its OpenFlow port → when that is said, and its port; the first is said first."""

    def bridges(self, now: Collection[str]) -> None:
        """These bridges are there; the first time, those that are missing are said too."""
        is_first, before = self._bridges is None, self._bridges or frozenset()
        self._bridges = frozenset(now)
        physical = {patch.bridge: network for network, patch in self._names.physical.items()}
        for name in self._names.bridges:
            was, is_there = name in before, name in now
            if is_there and not was:
                LOG.info("bridge %s is there", name, extra=BRIDGE_THERE.of(bridge=name))
            elif name in physical and not is_there and (was or is_first):
                text = "bridge %s does not exist: nothing of physical network %s leaves or enters until it is made"
                event = BRIDGE_MISSING.of(bridge=name, physical_network=physical[name])
                LOG.warning(text, name, physical[name], extra=event)
            elif was and not is_there:
                LOG.info("bridge %s is gone", name, extra=BRIDGE_GONE.of(bridge=name))

    @property
    def due(self) -> float | None:
        """When :meth:`devices` has to be called though nothing changes."""
        return next((due for due, _ in self._waiting.values()), None)

    def devices(self, port_ids: Iterable[str], names: Iterable[str], change: LocalChange, now: float) -> None:
        """The bindings of some ports changed, and some devices came, changed or went.

        :param names: of these devices
        :param now: as of :func:`time.monotonic`
        """
        for port_id in port_ids:
            for binding in self._bindings.of(port_id):
                name = binding.device.name
                if binding.waiting:
                    due, _ = self._waiting.get(name, (now + PATIENCE, ""))
                    self._waiting[name] = due, port_id
                else:
                    self._waiting.pop(name, None)
                    self._say(binding)
        for name in names:
            if name not in self._facts.devices:
                self._waiting.pop(name, None)
                if self._said.pop(name, None) is not None:
                    LOG.info("device %s is gone", name, extra=DEVICE_GONE.of(device=name))
        while self.due is not None and self.due <= now:
            name = next(iter(self._waiting))
            _, port_id = self._waiting.pop(name)
            for binding in self._bindings.of(port_id):
                if binding.device.name == name:
                    self._say(binding)
        for network_id, why in change.moved.items():
            vlan = self._networks.vlans.get(network_id)
            event = VLAN_CHANGED.of(network=network_id, vlan=vlan, reason=why)
            told = "none, since all are in use" if vlan is None else vlan
            LOG.warning("network %s gets another local VLAN, %s: %s", network_id, told, why, extra=event)
        for conflict in change.conflicts:
            claim = conflict.claim
            event = TAG_REFUSED.of(device=claim.device, vlan=claim.vlan, reason=conflict.reason)
            LOG.warning("device %s keeps not its tag %d: %s", claim.device, claim.vlan, conflict.reason, extra=event)

    def moved(self, ports: Iterable[tuple[Port, str]]) -> None:
        """Ports were bound on one host, and are bound on another now; said where one of the two is this one.

        :param ports: with the host that each comes from
        """
        for port, before in ports:
            if self._host in (before, port.host):
                LOG.info(
                    "port %s has moved from host %s to host %s", port.id, before, port.host,
                    extra=PORT_MOVED.of(port=port.id, network=port.network_id, from_host=before, to_host=port.host),
                )  # fmt: skip

    def _say(self, binding: PortBinding) -> None:
        device, reason = binding.device, self._networks.reason(binding)
        now = reason, binding.mac_address
        if self._said.get(device.name) == now:
            return
        self._said[device.name] = now
        if reason is not None:
            event = DEVICE_REFUSED.of(device=device.name, port=binding.port_id, reason=reason)
            LOG.warning("device %s (port %s) is not bound: %s", device.name, binding.port_id, reason, extra=event)
            return
        self._check_mac(binding)
        if device.iface_id is not None and device.iface_id.lower() != binding.port_id:
            LOG.warning("device %s has iface-id %r: port %s is meant", device.name, device.iface_id, binding.port_id)

    def _check_mac(self, binding: PortBinding) -> None:
        attached, port = binding.device.attached_mac, self._facts.ports[binding.port_id]
        try:
            agrees = attached is None or canonical_mac(attached) == port.mac_address
        except ValueError:
            agrees = False
        if not agrees:
            LOG.warning(
                "device %s has attached-mac %.64r, port %s has mac_address %s: the port's is used",
                binding.device.name, attached, port.id, port.mac_address,
                extra=MAC_DIFFERS.of(
                    device=binding.device.name, port=port.id, attached_mac=attached, mac_address=port.mac_address
                ),
            )  # fmt: skip
