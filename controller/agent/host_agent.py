"""The agent of one host: from what the switch, the local OVSDB and the topology say to what is done about it.

    OpenFlow port-status ─┐                                                     ┌─► tags ──────► local OVSDB
    local OVSDB rows ─────┼─► HostFacts ─► bind ─► local networks ─► HostView ──┼─► flows ─────► senders of the bridges
    topology rows ────────┘   (mutable)    (pure)  (VLANs, tags)     (frozen)   ├─► port states ► topology database
                                                                                └─► tunnels, patches ► bridge set-up

It does no I/O and never waits: events come in through its inbox and change the facts; :meth:`HostAgent.walk` then lets
each stage follow what has changed, in one order, and hands the results to workers of their own. So a slow switch, a
database that is down or a port that cannot be made delays nobody else. No stage calls back into the one before; what
comes of an output is the next event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from immutables import Map
from os_ken.lib import hub

from apps.framework.compiler import Compiler
from apps.framework.host_view import Peer, TunnelPorts
from apps.framework.options import OptionValue
from controller.agent.binding import Bindings, PortBinding, uncarried
from controller.agent.bridge_flows import BridgeFlows
from controller.agent.change_log import ChangeLog
from controller.agent.events import Event
from controller.agent.facts.address_conflicts import AddressConflicts
from controller.agent.facts.host_facts import HostFacts, News
from controller.agent.host_snapshot import DeviceState, HostSnapshot, TunnelState
from controller.agent.local_networks import LocalChange, LocalNetworks
from controller.agent.outputs import Outputs
from controller.agent.patches import PatchGate, patch_ports, roles
from controller.agent.port_states import PortStates
from controller.agent.port_tags import PortTags
from controller.agent.restore.restore_guard import RestoreGuard, SavedState
from controller.agent.retries import Retries
from controller.agent.security.concerned_zones import ConcernedZones
from controller.agent.security.port_filters import PortFilters
from controller.agent.tunnels.flow_tunnels import ModeChange, tunnel_ports
from controller.agent.tunnels.peers import Peers
from controller.agent.tunnels.port_moves import PortMoves
from controller.agent.tunnels.tunnel_plan import Tunnel, TunnelOptions, TunnelPlan
from controller.agent.tunnels.underlay import LargestPackets
from controller.runtime.inbox import Inbox
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.device import PORT_NAME_MAX
from controller.vswitch.names import Names
from controller.vswitch.tagging import Tagging

_SHORTEST_WAIT = 0.001
"""Seconds; clocks and timers do not agree to the last digit."""

_FOR_AN_ANSWER = 0.01
"""Seconds that the events of one walk wait at most for what the topology says of a port; it takes two to five ms."""


class HostAgent:
    """Facts and stages of one host.

    :param saved: of the agent that ran before
    :param filters: which ports are filtered
    """

    def __init__(
        self,
        names: Names,
        tunnels: TunnelOptions,
        compiler: Compiler,
        outputs: Outputs,
        saved: SavedState,
        options: Map[str, OptionValue] = Map(),  # noqa: B008  # immutable
        filters: PortFilters | None = None,
    ) -> None:
        self.facts = HostFacts(names, RestoreGuard(names.host, saved), is_partial=outputs.follow is not None)
        self.snapshot = HostSnapshot(names)
        """What is told of this host; another one after each walk."""
        types = tunnels.types if tunnels.local_ip is not None else None
        refusal = partial(uncarried, physical=names.physical, tunnel_types=types)
        self._names = names
        self._outputs = outputs
        self._bindings = Bindings(self.facts.ports, refusal)
        self._filters = filters or PortFilters()
        self._networks = LocalNetworks(
            self.facts.ports, self._bindings, roles(names),
            options=options, segments=saved.vlans, filters=self._filters,
        )  # fmt: skip
        self._zones = ConcernedZones()
        self._flows = BridgeFlows(compiler, outputs.flows, names.integration_bridge)
        self._tags = PortTags()
        self._states = PortStates(
            self.facts, self._bindings, self._networks, compiler, outputs.note, outputs.trace
        )  # fmt: skip
        self._patch_ports = patch_ports(names, self.facts.bridges)
        self._patches = PatchGate(names.integration_bridge)
        self._tunnels = TunnelPlan(names.host, tunnels)
        self._peers = Peers()
        self._tunnel_ports = TunnelPorts()
        self._linked: tuple[Tunnel, ...] | None = None
        self._mode = ModeChange(tunnels, names.tunnel_bridge)
        self._largest = LargestPackets()
        self._moves = PortMoves(names.host)
        self._conflicts = AddressConflicts(self.facts.ports)
        self._retries = Retries(compiler, outputs.retry_ports)
        self._log = ChangeLog(names, self.facts.ports, self._bindings, self._networks)
        self._was_set_up = False
        self._shown_tunnels: tuple[Tunnel, ...] | None = None
        self._ask()

    def run(self, inbox: Inbox[Event]) -> None:
        """Handle events until :class:`controller.agent.events.Stop`."""
        while not self.facts.is_stopping:
            due = self.due
            events = inbox.receive(None if due is None else max(_SHORTEST_WAIT, due - time.monotonic()))
            self.handle(events, inbox.receive, inbox.waited_since if events else None)

    @property
    def due(self) -> float | None:
        """When :meth:`walk` has to be called though no event comes, as of :func:`time.monotonic`; None: never."""
        ports = self.facts.ports
        dues = (
            *(self._retries.due, self._states.due, self._log.due),
            *(ports.followed.due, ports.takeovers.due, self.facts.security.due),
        )
        of_others = (self._tunnels.due, self._peers.due) if self.facts.is_complete else ()
        return min((due for due in (*dues, *of_others) if due is not None), default=None)

    def handle(
        self,
        events: Iterable[Event],
        more: Callable[[float], Iterable[Event]] | None = None,
        waited_since: float | None = None,
    ) -> None:
        """Take in some events, and do what follows from all of them together.

        A walk for a device of whose port nothing is known takes as long as the topology does to tell of it, and another
        one follows then. So the answer is waited for a little.

        :param more: waits for so many seconds at most, and returns events that came meanwhile; None: there are none
        :param waited_since: when the first of them came, as of :func:`time.monotonic`; None: now
        """
        for event in events:
            self.facts.apply(event)
        asked, until = self._ask(), time.monotonic() + _FOR_AN_ANSWER
        followed = self.facts.ports.followed
        while more is not None and any(map(followed.is_waiting, asked)) and (left := until - time.monotonic()) > 0:
            for event in more(left):
                self.facts.apply(event)
        self._states.began = waited_since
        if not self.facts.is_stopping:
            self.walk()

    def close(self) -> None:
        """End the connections of all bridges; called when the process ends, in any thread."""
        for session in list(self.facts.bridges.sessions.values()):
            session.close()

    # -- the walk ------------------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """Let each stage follow what has changed; see the drawing above.

        The order is part of the meaning. Bridges are let in and given up before anything is decided by their ports.
        Bindings, local networks, flows, tags and states each need what the one before has decided. A bridge is handed
        to its sender only when flows are made of the port numbers that it has just told: they may have changed while
        it was away. Tags are handed out before flows, since they take longer to come about. Tunnels are planned when
        local VLANs are dealt, or recovered: they can be trunks of these.
        """
        news = self.facts.collect()
        self._end_waits(time.monotonic())
        self._ask()
        if news.renumbered:
            self._patch_ports = patch_ports(self._names, self.facts.bridges)
        is_set_up_due = self._follow_bridges(news) or news.set_up
        self._follow_others(news)
        tags, shown = dict(news.detached), set[str]()
        if self.facts.is_complete:
            changed = self.facts.ports.collect()
            bound = self._bindings.update(changed.ports)
            found = self._find_tunnels(news)
            local = self._networks.update(bound, changed, self._patch_ports, *found, self.facts.security.collect())
            tags.update(self._tags.settle(local.ports, self._bindings, self._networks.tags))
            self._hand_out_tags(tags)
            self._hand_out_flows(local)
            if tags or local.ports:
                hub.sleep(0)  # who writes these begins now: what is still to be done here, no port waits for
            self._conflicts.follow(local.view, changed.ports)
            self._log.devices(bound, changed.devices, local, time.monotonic())
            reports, settled = self._states.settle()
            if reports:
                self._outputs.report(reports)
            shown = changed.ports | local.ports | settled
            if touched := changed.networks | local.view.networks:
                self._largest.follow(touched, self.facts.ports.networks, self._networks.vlans)
            is_set_up_due |= self._tunnels.update(
                self.facts.hosts.values(), local.view.new.networks,
                new_hosts=news.hosts, new_networks=bool(local.view.networks),
                new_needs=self._tunnels.need(local.view, time.monotonic()),
                seen=(self.facts.underlay, self._largest.by_type),
            )  # fmt: skip
            self._save(bound)
            self._unfollow(changed.ports)
        elif self._names.integration_bridge in self.facts.bridges.ports:
            self._hand_out_tags({**tags, **self._tags.silence(self.facts.ports.devices.values())})
        else:
            self._hand_out_tags(tags)
        self._hand_out_rest(news, is_set_up_due)
        self._publish(news, shown)

    def _end_waits(self, now: float) -> None:
        """Reconsider ports that have waited for long enough: for the topology, or until they may be taken over; let go
        of security groups and members that nobody has written back."""
        ports = self.facts.ports
        ports.reconsider(ports.followed.late(now))
        ports.reconsider(ports.takeovers.over(now))
        self.facts.security.over(now)

    def _ask(self) -> Collection[str]:
        """Have the ports followed that devices name; the ids of those that the topology has not told of."""
        interest = self.facts.ports.followed.collect()
        if interest is None or self._outputs.follow is None:
            return ()
        self._outputs.follow(interest)
        return interest.asked.keys()

    def _unfollow(self, port_ids: Iterable[str]) -> None:
        """Have those of some ports not followed any more that have no device here, and were not bound here last."""
        ports, guard = self.facts.ports, self.facts.guard
        for port_id in port_ids if self._outputs.follow is not None else ():
            if not ports.devices_of(port_id) and not guard.has_port(port_id):
                ports.followed.drop(port_id)
        self._ask()

    def _follow_bridges(self, news: News) -> bool:
        """Let bridges in and give them up; True when a patch may carry frames now, or ports may go."""
        bridges = self.facts.bridges
        if news.vswitch:
            self._log.bridges(bridges.ids.keys())
            self._states.see_bridges(bridges.ids.keys())
        bridges.admit(self._outputs.accepted)
        is_opened = False
        for event in news.confirmed:
            self._states.confirmed(event)
            self._flows.confirmed(event.bridge, event.generation)
            is_opened |= self._patches.confirmed(event)
            is_opened |= self._mode.confirmed(event)
            if event.bridge == self._names.integration_bridge:
                self._end_connections(event.generation)
        for bridge, session in news.lost:  # after what it may have confirmed, which does not count any more
            self._outputs.flows[bridge].detach(session)
            self._patches.lost(bridge, self._flows.generation)
        return is_opened

    def _follow_others(self, news: News) -> None:
        """Let those stages know that keep account of something besides the facts."""
        facts = self.facts
        if news.reconnected:
            self._tags.forget_sent()
        for port_name in news.unplugged:
            self._tags.forget(port_name)
        for name in news.devices:
            device = facts.ports.devices.get(name)
            self._retries.device(name, device.fault if device is not None and device.iface_id is not None else None)
        if news.vswitch:
            tunnels, patches = self._tunnels.ports or {}, self._names.patch_ports
            faults = facts.port_faults.items()
            self._retries.set_ports({name: why for name, why in faults if name in tunnels or name in patches})
        self._retries.set_misplaced(facts.misplaced)
        for batch in news.topology:
            self._log.moved(self._moves.follow(batch))
            self._states.recheck(batch.ports.keys() - batch.described)
        self._retries.retry(time.monotonic())

    def _hand_out_flows(self, local: LocalChange) -> None:
        compiled = self._flows.update(local.view, local.ports, self.facts.bridges.ports.keys())
        if compiled is None:
            return
        ports, changed = compiled
        for unit in changed:
            self._states.reconsider(unit.subject)
        self._states.touch(ports, self._flows.generation)
        physical = self._patch_ports.physical
        self._patches.compiled(physical, self._flows.drops(physical), self._flows.generation)
        self._mode.compiled(local.view.new.tunnels, self._flows.generation)
        self._zones.follow(local.view, self._flows.generation)

    def _hand_out_tags(self, tags: Mapping[str, Tagging]) -> None:
        if tags:
            self._outputs.tag(tags)

    def _end_connections(self, generation: int) -> None:
        """Have connections ended that flows do not allow any more which br-int has confirmed."""
        zones = self._zones.confirmed(generation, lambda: self._networks.view)
        if zones:
            self._outputs.end_connections(zones)

    def _find_tunnels(self, news: News) -> tuple[Mapping[str, Peer], TunnelPorts]:
        """The hosts that tunnels lead to: those whose port is there, or will be when it has been planned and made."""
        facts, plan, bridge = self.facts, self._tunnels, self._names.tunnel_bridge
        if is_changed := news.hosts or plan.ports is None:
            plan.find(facts.hosts.values(), self._networks.view, time.monotonic())
        there, is_first = facts.bridges.ports.get(bridge, {}), plan.ports is None
        if is_changed := is_changed or bridge in news.renumbered or plan.tunnels is not self._linked:
            self._linked = plan.tunnels
            # Which tunnels are needed follows from the view that is made now: as long as none was, all may be.
            expected = plan.known if is_first else plan.tunnels
            found = tunnel_ports(plan.options, expected, there, self._names.patch_int)
            self._tunnel_ports = self._tunnel_ports if found == self._tunnel_ports else found
        ports = self._tunnel_ports
        peers, now = self._peers, time.monotonic()
        return peers.update(facts.hosts, plan.known, ports.flow_ports, there.get, now, is_changed=is_changed), ports

    def _save(self, bound: Iterable[str]) -> None:
        self.facts.guard.bound(self._bindings.bound_ports(bound))
        self.facts.guard.vlans = self._networks.segments
        saved = self.facts.guard.changed()
        if saved is not None:
            self._outputs.save(saved)

    def _hand_out_rest(self, news: News, is_set_up_due: bool) -> None:
        facts, outputs = self.facts, self._outputs
        if facts.known.suffices and (is_set_up_due or not self._was_set_up):
            self._was_set_up = True
            outputs.set_up(
                WantedBridges(self._tunnels.ports, self._patches.open, self._mode.is_under_way, self._tunnels.unneeded)
            )
        for name, session in news.listed:
            if facts.bridges.sessions.get(name) is session:
                outputs.flows[name].attach(session)
        ofports = partial(facts.bridges.ofport, self._names.tunnel_bridge)
        tunnels = (self._tunnels.ports or {}).values()
        networks = self._networks
        for announcement in self._moves.announcements(
            tunnels, facts.ports.networks, networks.vlans, ofports, networks.view.ports
        ):
            outputs.announce(announcement)
        if news.register:
            outputs.register()
        if news.write_back is not None:
            outputs.write_back(news.write_back)
        self._retries.see(time.monotonic())

    # -- what is told --------------------------------------------------------------------------------------------------

    def _publish(self, news: News, shown: Collection[str]) -> None:
        """Publish what is so now; ``shown`` are the ports of which something else may have to be told."""
        facts, before = self.facts, self.snapshot
        self.snapshot = HostSnapshot(
            names=self._names,
            view=self._networks.view,
            is_complete=facts.is_complete,
            devices=self._device_states(before.devices, shown),
            active=len(self._states.active),
            tunnels=self._tunnel_states(news),
            twins=facts.bridges.twins,
            datapaths=facts.bridges.ids,
            connected=frozenset(facts.bridges.sessions),
            patched=self._patches.open,
            is_restoring=facts.is_restoring,
            row_problems=facts.row_problems,
            restore_problems=facts.guard.problems,
            unit_problems=self._flows.problems,
            ports_not_made=self._retries.ports,
            ports_misplaced=self._retries.misplaced,
            vlan_conflicts=self._networks.conflicts,
            unserved=facts.unserved,
            open_trunks=facts.open_trunks,
            unfiltered=self._filters.unfiltered,
            tunnel_problems=self._tunnels.misfits,
            address_conflicts=self._conflicts.lines,
            flapping_ports=facts.ports.takeovers.lines,
            tag_drift=self._tags.drift.record,
            durations=self._states.durations,
            stages=self._states.stages,
        )
        for answer in news.pings:
            answer()

    def _device_states(
        self, before: Map[str, tuple[DeviceState, ...]], port_ids: Collection[str]
    ) -> Map[str, tuple[DeviceState, ...]]:
        if not port_ids:
            return before
        after = before.mutate()
        for port_id in port_ids:
            states = tuple(map(self._device_state, self._bindings.of(port_id)))
            if states:
                after[port_id] = states
            elif port_id in after:
                del after[port_id]
        return after.finish()

    def _device_state(self, binding: PortBinding) -> DeviceState:
        port = self.facts.ports.ports.get(binding.port_id)
        network_id = port.network_id if port is not None else None
        status, reason = self._states.state(binding)
        return DeviceState(
            port_id=binding.port_id,
            device=binding.device.name,
            ofport=binding.ofport,
            network_id=network_id,
            vlan=self._networks.vlans.get(network_id or "") if binding.bound else None,
            status=status,
            reason=reason,
        )

    def _tunnel_states(self, news: News) -> tuple[TunnelState, ...]:
        tunnels = self._tunnels.tunnels
        if self._shown_tunnels is tunnels and self._names.tunnel_bridge not in news.renumbered:
            return self.snapshot.tunnels
        self._shown_tunnels = tunnels
        ofport = partial(self.facts.bridges.ofport, self._names.tunnel_bridge)
        return tuple(
            TunnelState(
                tunnel.host, tunnel.type, tunnel.remote_ip, tunnel.device, ofport(tunnel.device[:PORT_NAME_MAX])
            )
            for tunnel in tunnels
        )
