"""From the verdicts of binding to what the host should carry: local VLANs, the view that is compiled, tags.

A device is kept from sending until its tag is committed, so that a bound port never talks without its VLAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from apps.framework.host_view import DeadPort, HostView, LocalNetwork, LocalPort, PhysicalNetwork, ViewChange
from apps.framework.local_vlans import Conflict, VlanClaim, assign, recover
from apps.framework.pipeline import BridgeRole
from controller.agent.binding import BindingTable, Verdict
from controller.vswitch.tagging import DEAD, Tagging, wired

_Value = TypeVar("_Value")

NO_VLAN_LEFT = "all local VLANs (1-4094) of this host are in use"


class Wiring:
    """What one host should carry; follows a :class:`BindingTable`.

    :param bridges: name → role of the bridges that get flows
    """

    def __init__(self, table: BindingTable, bridges: Mapping[str, BridgeRole]) -> None:
        self.vlans: dict[str, int] = {}
        """Network id → local VLAN."""
        self.tags: dict[str, Tagging] = {}
        """Name of a Port → what it should say, for every device with an ``iface-id`` whose place is decided."""
        self.conflicts: tuple[Conflict, ...] = ()
        """Tags of running ports that could not be kept, found by the last :meth:`update`."""
        self._table = table
        self._bridges = bridges
        self._members: dict[str, set[str]] = {}
        self._network_of: dict[str, str] = {}
        self._devices_of: dict[str, tuple[Verdict, ...]] = {}
        self._networks: dict[str, LocalNetwork] = {}
        self._ports: dict[str, LocalPort] = {}
        self._dead: dict[str, DeadPort] = {}

    def update(self, changed: Iterable[str]) -> set[str]:
        """Take in the verdicts on some ports.

        :param changed: ids of ports whose verdicts changed
        :returns: ids of all ports whose wiring may have changed by that: these, and those of networks that changed
        """
        touched = set(changed)
        for port_id in touched:
            self._count(port_id)
        for network_id in self._deal() | self._renewed():
            touched |= self._members.get(network_id, set())
        self._networks = {network_id: self._local(network_id, vlan) for network_id, vlan in self.vlans.items()}
        for port_id in touched:  # all before the first is wired anew: a device may have passed from one to another
            self._unwire(port_id)
        for port_id in touched:
            self._wire(port_id)
        return touched

    def change(
        self, view: HostView, patch_int: int | None, physical: Mapping[str, PhysicalNetwork] | None = None
    ) -> ViewChange:
        """What makes the view to compile of the last one; see :class:`apps.framework.host_view.HostView`."""
        return view.evolve(
            bridges=self._bridges,
            patch_int=patch_int,
            physical=_replacing(view.physical, physical or {}),
            networks=_replacing(view.networks, self._networks),
            ports=_replacing(view.ports, self._ports),
            dead=_replacing(view.dead, {**self.silenced(), **self._dead}),
        )

    def view(self, patch_int: int | None, physical: Mapping[str, PhysicalNetwork] | None = None) -> HostView:
        """The view to compile, made anew."""
        return self.change(HostView(), patch_int, physical).new

    def silenced(self) -> dict[str, DeadPort]:
        """Devices that are kept from sending because they were taken off their network."""
        devices, ofports = self._table.silenced, self._table.ofports
        return {name: DeadPort(name, ofports[name]) for name in devices if name in ofports}

    def reason(self, verdict: Verdict) -> str | None:
        """Why a device does not carry its port's traffic, as far as binding and local VLANs go."""
        if verdict.bound and verdict.port_id not in self._ports:
            return NO_VLAN_LEFT
        return verdict.reason

    def is_tagged(self, port_id: str) -> bool:
        """True when the tag of a bound port is committed, so that it may send."""
        port = self._ports.get(port_id)
        return port is not None and port.device not in self._dead

    def _count(self, port_id: str) -> None:
        """Keep account of which networks have bound ports."""
        old = self._network_of.pop(port_id, None)
        if old is not None:
            self._members[old].discard(port_id)
            if not self._members[old]:
                del self._members[old]
        if self._table.bound(port_id) is not None:
            network_id = self._table.ports[port_id].network_id
            self._network_of[port_id] = network_id
            self._members.setdefault(network_id, set()).add(port_id)

    def _local(self, network_id: str, vlan: int) -> LocalNetwork:
        known, network = self._networks.get(network_id), self._table.networks[network_id]
        return known if known is not None and known == LocalNetwork(network, vlan) else LocalNetwork(network, vlan)

    def _renewed(self) -> set[str]:
        """Networks in use whose attributes changed."""
        known = self._table.networks
        return {network_id for network_id, local in self._networks.items() if known.get(network_id) != local.network}

    def _deal(self) -> set[str]:
        """Give every network with bound ports its local VLAN, and take it from those without.

        :returns: ids of the networks whose VLAN changed
        """
        self.conflicts = ()
        if self._members.keys() == self.vlans.keys():
            return set()
        held = self.vlans
        new = sorted(self._members.keys() - held.keys())
        taken: set[int] = set()
        if new:
            recovered, self.conflicts = recover(self._claims(new))
            taken = {device.tag for device in self._table.devices.values() if device.tag is not None}
            used = set(held.values())
            held = {**held, **{network_id: vlan for network_id, vlan in recovered.items() if vlan not in used}}
        self.vlans = assign(held, sorted(self._members, key=lambda network_id: (network_id in new, network_id)), taken)
        return set(new)

    def _claims(self, networks: Iterable[str]) -> list[VlanClaim]:
        """What the bound devices of these networks were tagged with, the most credible first."""
        claims = []
        for network_id in networks:
            for port_id in self._members[network_id]:
                verdict = self._table.bound(port_id)
                if verdict is not None and verdict.device.tag is not None:
                    device = verdict.device
                    trusted = device.was_wired and device.other_config.get("net_uuid") == network_id
                    claims.append((not trusted, device.name, VlanClaim(network_id, verdict.device.tag, device.name)))
        return [claim for _, _, claim in sorted(claims, key=lambda ranked: ranked[:2])]

    def _unwire(self, port_id: str) -> None:
        for verdict in self._devices_of.pop(port_id, ()):
            self._dead.pop(verdict.device.name, None)
            self.tags.pop(verdict.device.port_name, None)
        self._ports.pop(port_id, None)

    def _wire(self, port_id: str) -> None:
        verdicts = self._table.verdicts.get(port_id, ())
        if verdicts:
            self._devices_of[port_id] = verdicts
        for verdict in verdicts:
            device, ofport = verdict.device, verdict.ofport
            local = self._networks.get(self._network_of.get(port_id, "")) if verdict.bound else None
            if local is not None and ofport is not None:
                port = self._table.ports[port_id]
                self._ports[port_id] = LocalPort(port_id, port.network_id, port.mac_address, device.name, ofport)
                self.tags[device.port_name] = wired(local.network, local.vlan)
            elif not verdict.waiting:  # a device that is not on the bridge yet sends nothing, and is bound in a moment
                self.tags[device.port_name] = DEAD
            if ofport is not None and (local is None or device.tag != local.vlan):
                self._dead[device.name] = DeadPort(device.name, ofport)


def _replacing(old: Mapping[str, _Value], new: Mapping[str, _Value]) -> Mapping[str, _Value | None]:
    return {**dict.fromkeys(old), **new}
