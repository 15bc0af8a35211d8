"""From bindings to what the host should carry: local VLANs, tags, and the view that applications compile.

A device is kept from sending until its tag is committed, so that a bound port never talks without its VLAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import chain

from immutables import Map

from apps.framework.host_view import DeadPort, HostView, LocalNetwork, LocalPort, Peer, TunnelPorts, ViewChange
from apps.framework.local_vlans import Conflict, NetworkSegment, VlanClaim, of_others, recover
from apps.framework.options import OptionValue
from apps.framework.pipeline import BridgeRole
from controller.agent.binding import Bindings, PortBinding
from controller.agent.facts.port_facts import ChangedPorts, PortFacts
from controller.agent.facts.security_facts import NOTHING_CHANGED, ChangedSecurity
from controller.agent.patches import PatchPorts
from controller.agent.remote_ports import RemotePorts
from controller.agent.security.port_filters import PortFilters
from controller.vswitch.device import VlanColumns
from controller.vswitch.tagging import DEAD, Tagging, wired
from topology.model import VLAN_MAX, VLAN_MIN, Network

NO_PEERS: Mapping[str, Peer] = Map()
NO_VLAN_LEFT = "all local VLANs (1-4094) of this host are in use"


@dataclass(frozen=True)
class LocalChange:
    """What new bindings mean for what this host carries.

    :param ports: ids of all ports whose wiring may have changed: those that were bound anew, and those of networks
        that changed
    :param conflicts: tags of running ports that could not stay as they were
    :param moved: id of a network that had to get another local VLAN → why
    """

    view: ViewChange
    ports: set[str]
    conflicts: tuple[Conflict, ...]
    moved: Mapping[str, str]


class LocalNetworks:
    """What one host should carry.

    :param bridges: name → role of the bridges that get flows
    :param vlans: network id → local VLAN, where some are dealt already
    :param options: of applications
    :param segments: local VLAN → who had it last, as an earlier controller has left it
    :param filters: which ports are filtered; None: those that ask for it
    """

    def __init__(
        self,
        facts: PortFacts,
        bindings: Bindings,
        bridges: Mapping[str, BridgeRole],
        vlans: Mapping[str, int] | None = None,
        options: Map[str, OptionValue] = Map(),  # noqa: B008  # immutable
        segments: Mapping[int, NetworkSegment] | None = None,
        filters: PortFilters | None = None,
    ) -> None:
        self.view = HostView(options=options)
        self.vlans: dict[str, int] = dict(vlans or {})
        """Network id → local VLAN."""
        self.segments = Map(segments or {})
        """Local VLAN → who has it, or had it last."""
        self.tags: dict[str, Tagging] = {}
        """Name of a Port → what it should say, for every device with an ``iface-id`` whose place is decided."""
        self.conflicts: Mapping[int, str] = {}
        """Local VLAN that a network had to leave to others who have it now → that, in words; never changed."""
        self._facts = facts
        self._bindings = bindings
        self._bridges = bridges
        self._members: dict[str, set[str]] = {}
        """Network id → ids of its ports that are bound here."""
        self._network_of: dict[str, str] = {}
        self._vlanless: set[str] = set()
        """Networks with bound ports and without a local VLAN."""
        self._owners = {vlan: _segment(facts.networks[network_id]) for network_id, vlan in self.vlans.items()}
        """Local VLAN → who has it."""
        self._left: dict[int, NetworkSegment] = dict(segments or {})
        """Local VLAN that nobody has any more → who had it last; the one that was left first comes first."""
        self._lowest = VLAN_MIN
        """All local VLANs below this one are in use."""
        self._patches: PatchPorts | None = None
        self._peers = NO_PEERS
        self._remote = RemotePorts(facts, bindings)
        self._wired: dict[str, tuple[PortBinding, ...]] = {}
        self._dead: dict[str, DeadPort] = {}
        self._filters = filters or PortFilters()

    def update(
        self,
        rebound: Iterable[str],
        changed: ChangedPorts,
        patches: PatchPorts,
        peers: Mapping[str, Peer] = NO_PEERS,
        tunnels: TunnelPorts | None = None,
        security: ChangedSecurity = NOTHING_CHANGED,
    ) -> LocalChange:
        """Follow the bindings of some ports; costs what has changed, not what the host carries.

        :param rebound: ids of the ports whose bindings changed
        :param changed: what was touched besides
        :param peers: by name of the host; another mapping where something of them is otherwise
        :param tunnels: what else leads out of br-tun; None: as before
        :param security: what the topology tells of security groups
        """
        tunnels = tunnels or self.view.tunnels
        is_same = patches == self._patches and peers is self._peers and tunnels == self.view.tunnels
        ports = set(rebound)
        if not (ports or changed.ports or changed.devices or changed.networks or security) and is_same:
            return LocalChange(ViewChange(self.view, self.view), ports, (), {})
        others = {} if peers is self._peers else {**dict.fromkeys(self._peers), **peers}
        self._patches, self._peers = patches, peers
        if changed.devices and self.conflicts:
            self.conflicts = {vlan: text for vlan, text in self.conflicts.items() if vlan in self._facts.foreign}
        joined, gone = self._count(ports)
        moved = self._give_up(gone, changed)
        dealt, conflicts = self._deal(moved.keys())
        networks: dict[str, LocalNetwork | None] = dict.fromkeys([*gone, *moved])
        for network_id in {*joined, *changed.networks, *dealt} & self.vlans.keys():
            local = LocalNetwork(self._facts.networks[network_id], self.vlans[network_id])
            if local != self.view.networks.get(network_id):
                networks[network_id] = local
        for network_id in networks.keys() & self._members.keys():
            ports |= self._members[network_id]
        devices = changed.devices | {name for port_id in ports for name in self._unwire(port_id)}
        # Only when all are unwired: a device may have passed from one port to another.
        bound = {port_id: self._wire(port_id, networks) for port_id in ports}
        devices |= {binding.device.name for port_id in ports for binding in self._bindings.of(port_id)}
        dead = {name: self._dead.get(name) or self._detached(name) for name in devices}
        view = self.view.evolve(
            bridges=self._bridges, patch_int=patches.patch_int, physical=patches.physical,
            networks=networks, ports=bound, dead=dead, peers=others,
            tunnels=tunnels, patch_tun=patches.patch_tun,
            security_groups=security.groups, address_groups=security.address_groups, group_members=security.members,
            remote_ports=self._remote.update(self.view, networks, self._members, changed.ports | ports),
        )  # fmt: skip
        self.view = view.new
        return LocalChange(view, ports, conflicts, moved)

    def members(self, network_id: str) -> Iterable[str]:
        """Ids of the ports of a network that are bound here."""
        return self._members.get(network_id, ())

    def reason(self, binding: PortBinding) -> str | None:
        """Why a device does not carry its port's traffic, as far as binding and local VLANs go."""
        if binding.bound and binding.port_id not in self.view.ports:
            return NO_VLAN_LEFT
        return binding.reason

    def is_tagged(self, port_id: str) -> bool:
        """True when the VLAN columns of a bound port are committed, so that it may send."""
        port = self.view.ports.get(port_id)
        return port is not None and port.device not in self._dead

    # -- local VLANs ---------------------------------------------------------------------------------------------------

    def _count(self, rebound: Iterable[str]) -> tuple[set[str], set[str]]:
        """Keep account of which networks have bound ports.

        :returns: ids of the networks that some of these ports are bound to now, and of those that lost their last port
        """
        joined, left = set(), set()
        for port_id in rebound:
            old = self._network_of.pop(port_id, None)
            if old is not None:
                left.add(old)
                self._members[old].discard(port_id)
            if self._bindings.bound(port_id) is not None:
                network_id = self._facts.ports[port_id].network_id
                self._network_of[port_id] = network_id
                self._members.setdefault(network_id, set()).add(port_id)
                joined.add(network_id)
        gone = {network_id for network_id in left if not self._members[network_id]}
        for network_id in gone:
            del self._members[network_id]
        self._vlanless -= gone
        self._vlanless |= joined - self.vlans.keys()
        return joined, gone

    def _give_up(self, gone: Set[str], changed: ChangedPorts) -> dict[str, str]:
        """Take their local VLAN from networks without ports, and from those that need another.

        That is where others have it now, and where the segment has changed.

        :returns: id of a network that needs another → why
        """
        moved = {}
        for network_id in changed.networks & self.vlans.keys() - gone:
            if self._owners[self.vlans[network_id]] != _segment(self._facts.networks[network_id]):
                moved[network_id] = "its type, physical network or segmentation id is another"
        for number in changed.foreign & self._facts.foreign.keys() & self._owners.keys():
            network_id = self._owners[number].network_id
            if network_id not in gone:
                moved[network_id] = of_others(number, self._facts.foreign[number])
                self._note(network_id, number, moved[network_id])
        for network_id in (*gone, *moved):
            vlan = self.vlans.pop(network_id, None)
            if vlan is not None:
                self._left[vlan] = self._owners.pop(vlan)
                self._lowest = min(self._lowest, vlan)
        self._vlanless |= moved.keys()
        return moved

    def _deal(self, moved: Set[str]) -> tuple[set[str], tuple[Conflict, ...]]:
        """Give networks with bound ports their local VLAN.

        :param moved: ids of those whose ports have the tags of another one still
        :returns: ids of the networks that got one, and the tags that cannot stay
        """
        if not self._vlanless:
            return set(), ()
        recovered, conflicts = recover(self._claims(self._vlanless - moved), self._facts.foreign)
        for conflict in conflicts:
            if conflict.claim.is_written and conflict.claim.vlan in self._facts.foreign:
                self._note(conflict.claim.network_id, conflict.claim.vlan, conflict.reason)
        free = {network_id: vlan for network_id, vlan in recovered.items() if vlan not in self._owners}
        dealt = set()
        for network_id in sorted(self._vlanless, key=lambda network_id: (network_id not in free, network_id)):
            segment = _segment(self._facts.networks[network_id])
            vlan = free[network_id] if network_id in free else self._free_vlan(segment)
            if vlan is None:
                break
            self.vlans[network_id] = vlan
            self._owners[vlan] = segment
            self.segments = self.segments.set(vlan, segment)
            self._left.pop(vlan, None)
            dealt.add(network_id)
        self._vlanless -= dealt
        return dealt, conflicts

    def _note(self, network_id: str, vlan: int, reason: str) -> None:
        self.conflicts = {**self.conflicts, vlan: f"network {network_id}: {reason}"}

    def _free_vlan(self, segment: NetworkSegment) -> int | None:
        """A number that neither a network nor any device on the bridge has, None where there is none.

        The one that the network had before, as it is now; else the lowest that nobody had; else the one that was left
        first. For bridges have learned by which port addresses are reached, VLAN by VLAN and for minutes: what they
        know of another network, or of this one when it was elsewhere, must not become true of it.
        """
        while self._lowest in self._owners:
            self._lowest += 1
        again = (vlan for vlan, was in self._left.items() if was == segment)
        new = (vlan for vlan in range(self._lowest, VLAN_MAX + 1) if vlan not in self._left)
        return next((vlan for vlan in chain(again, new, self._left) if self._is_free(vlan)), None)

    def _is_free(self, vlan: int) -> bool:
        return vlan not in self._owners and vlan not in self._facts.tags and vlan not in self._facts.foreign

    def _claims(self, network_ids: Iterable[str]) -> list[VlanClaim]:
        """What the bound devices of some networks were tagged with, the most credible first."""
        claims = []
        for network_id in network_ids:
            network = self._facts.networks[network_id]
            for port_id in self._members[network_id]:
                binding = self._bindings.bound(port_id)
                if binding is not None and (tag := binding.device.tag) is not None:
                    is_written = wired(network, tag).was_dealt(binding.device.other_config)
                    claims.append(VlanClaim(network_id, tag, binding.device.name, is_written))
        return sorted(claims, key=lambda claim: (not claim.is_written, claim.device))

    # -- devices -------------------------------------------------------------------------------------------------------

    def _unwire(self, port_id: str) -> list[str]:
        """Forget what the devices of a port were to say; their names."""
        bindings = self._wired.pop(port_id, ())
        self._filters.forget(port_id)
        for binding in bindings:
            self._dead.pop(binding.device.name, None)
            self.tags.pop(binding.device.port_name, None)
        return [binding.device.name for binding in bindings]

    def _wire(self, port_id: str, networks: Mapping[str, LocalNetwork | None]) -> LocalPort | None:
        """Decide what the devices of a port are to say.

        :param networks: those that have changed
        :returns: the port as it is carried; None: it is not
        """
        bindings, found = self._bindings.of(port_id), None
        if bindings:
            self._wired[port_id] = bindings
        network_id = self._network_of.get(port_id, "")
        carried = networks[network_id] if network_id in networks else self.view.networks.get(network_id)
        for binding in bindings:
            device, ofport = binding.device, binding.ofport
            local = carried if binding.bound else None
            if local is not None and ofport is not None:
                port = self._facts.ports[port_id]
                found = LocalPort(
                    port_id, port.network_id, port.mac_address, device.name, ofport,
                    port.allowed_macs, binding.is_here, port.addresses,
                    self._filters.of(port_id, binding.security),
                )  # fmt: skip
                self.tags[device.port_name] = wired(local.network, local.vlan)
            elif not binding.waiting:  # a device that is not on the bridge yet sends nothing, and is bound in a moment
                self.tags[device.port_name] = DEAD
            if ofport is not None and (local is None or device.vlans != VlanColumns(local.vlan)):
                self._dead[device.name] = DeadPort(device.name, ofport)
        return found

    def _detached(self, name: str) -> DeadPort | None:
        """A device that is kept from sending because it was taken off its network."""
        ofport = self._facts.ofports.get(name)
        return DeadPort(name, ofport) if name in self._facts.detached and ofport is not None else None


def _segment(network: Network) -> NetworkSegment:
    return NetworkSegment(network.id, network.network_type, network.physical_network, network.segmentation_id)
