"""What the controller of a host tells: the state that ``tunbridge status`` shows, without asking the switch for flows.

What is installed is what the switch has confirmed; whether that is still there the controller finds out by itself, at
once where the switch tells of changes, and counts as drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric as Family

from controller.agent.host_snapshot import HostSnapshot
from controller.openflow.tables.sender import Sender
from controller.runtime.metric_families import Kind, Metric, Values
from controller.status.host_status import RunningHost, device_states, is_settled, problems, quarantine
from topology.errors import TunbridgeError
from topology.model import PortStatus

_PATIENCE = 5.0
"""Seconds that the deciding worker may take to answer; Prometheus itself waits 10 s."""

_BRIDGE = ("bridge",)


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(f"tunbridge_{name}", Kind.GAUGE, text, labels)


def _counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(f"tunbridge_{name}_total", Kind.COUNTER, text, labels)


RESPONDING = _gauge("controller_responding", "1 when the worker that decides has answered within 5 s, 0 otherwise")
IN_SYNC = _gauge("in_sync", "1 when all that should be in place is confirmed to be, 0 otherwise")
PROBLEMS = _gauge("problems", "Things that stand against that, each a line of `tunbridge status`")
TUNNEL_PROBLEMS = _gauge("tunnel_problems", "What stands against tunnels to other hosts, each a line of it too")
QUARANTINED = _gauge("quarantined", "What is left out or set aside with an error while all else is served", ("what",))
TOPOLOGY = _gauge("topology_connected", "1 while the controller follows the topology database, 0 otherwise")
TOPOLOGY_ROWS = _gauge("topology_rows", "Rows of the topology database that the controller has")
TOPOLOGY_ROWS_TOLD = _counter("topology_rows", "Rows that it was told of: new, changed or gone")
OVSDB = _gauge("ovsdb_connected", "1 while the controller follows the OVSDB of this host, 0 otherwise")
OPENFLOW = _gauge("openflow_connected", "1 while the bridge is connected, 0 otherwise", _BRIDGE)
PORTS = _gauge("ports", "Devices with an iface-id on this host, by the status of their port here", ("status",))
NETWORKS = _gauge("networks", "Networks with a bound port on this host; each has a local VLAN")
TUNNELS = _gauge("tunnels", "Tunnel ports that this host should have")
DESIRED = _gauge("flows_desired", "Flows that the bridge should have", _BRIDGE)
INSTALLED = _gauge("flows_installed", "Flows of ours that the bridge has confirmed to have", _BRIDGE)
REFUSED = _gauge("flows_refused", "Flows that the bridge refuses; they are asked for again", _BRIDGE)
FLOW_MODS = _counter("flow_mods", "Flow-mods sent", _BRIDGE)
BUNDLES = _counter("bundles", "Bundles sent", _BRIDGE)
COMPARISONS = _counter("flow_comparisons", "Comparisons of all flows of the bridge with what they should be", _BRIDGE)
COMPARISON = _gauge("flow_comparison_duration_seconds", "Time that the last of them took, repair included", _BRIDGE)
DRIFTS = _counter("flow_drifts", "Comparisons that found flows changed by others", _BRIDGE)
DRIFTED = _counter("drifted_flows", "Flows that others had changed, and that were repaired", _BRIDGE)
REPAIRS = _counter("flow_repairs", "Comparisons that found such flows and whose repair the bridge confirmed", _BRIDGE)
ROW_DRIFTS = _counter("row_drifts", "Times that others had changed our rows of the OVSDB: tags, layout", ("rows",))
OVSDB_TRANSACTIONS = _counter("ovsdb_transactions", "Changes made in the OVSDB of this host")
OVSDB_ROWS = _counter("ovsdb_rows_written", "Rows changed by those")
CONNECTIONS_ENDED = _counter("connections_ended", "Tracked connections ended because rules allow them no more")
BINDING = Metric(
    "tunbridge_port_binding_duration_seconds",
    Kind.HISTOGRAM,
    "Time from the event that completes a port's binding to flows and tag confirmed",
)


STAGES = Metric(
    "tunbridge_port_binding_stage_duration_seconds",
    Kind.HISTOGRAM,
    "Time that each stage of that takes",
    ("stage",),
)
BUNDLE = Metric(
    "tunbridge_bundle_duration_seconds",
    Kind.HISTOGRAM,
    "Time from the sending of flow-mods until the bridge has confirmed them",
    _BRIDGE,
)
EVENTS = _counter("events", "Events that the journal was told of, by their name", ("event",))
JOURNAL = _gauge("journal_events", "Events that the journal has")
JOURNAL_BYTES = _gauge("journal_bytes", "Bytes of them, as estimated")


class HostMetrics:
    """Reads the state of a host at each scrape."""

    def __init__(self, host: RunningHost) -> None:
        self._host = host

    def collect(self) -> Iterator[Family]:
        """The metrics of this module."""
        host = self._host
        yield TOPOLOGY.family(host.topology.connected)
        yield TOPOLOGY_ROWS.family(host.topology.rows)
        yield TOPOLOGY_ROWS_TOLD.family(host.topology.rows_told)
        yield OVSDB.family(host.vswitch.connected)
        yield OVSDB_TRANSACTIONS.family(host.vswitch.transactions)
        yield OVSDB_ROWS.family(host.vswitch.rows_written)
        yield BINDING.distribution(host.agent.snapshot.durations)
        yield STAGES.distribution({(name,): of for name, of in host.agent.snapshot.stages.items()})
        yield EVENTS.family({(name,): number for name, number in list(host.journal.counts.items())})
        events, octets = host.journal.size
        yield JOURNAL.family(events)
        yield JOURNAL_BYTES.family(octets)
        yield CONNECTIONS_ENDED.family(host.connections.ended)
        yield from self._senders()
        try:
            host.ping(_PATIENCE)
        except TunbridgeError:
            yield RESPONDING.family(0)
            return
        yield RESPONDING.family(1)
        yield from self._decided(host.agent.snapshot)

    def _senders(self) -> Iterator[Family]:
        senders = self._host.senders.values()

        def by_bridge(value: Callable[[Sender], float]) -> Values:
            return {(sender.bridge,): value(sender) for sender in senders}

        yield OPENFLOW.family(by_bridge(lambda sender: sender.session is not None))
        yield DESIRED.family(by_bridge(lambda sender: sender.sizes[0]))
        yield INSTALLED.family(by_bridge(lambda sender: sender.sizes[1]))
        yield REFUSED.family(by_bridge(lambda sender: len(sender.refusals)))
        yield FLOW_MODS.family(by_bridge(lambda sender: sender.flow_mods))
        yield BUNDLES.family(by_bridge(lambda sender: sender.bundles))
        yield COMPARISONS.family(by_bridge(lambda sender: sender.comparisons.done))
        yield COMPARISON.family(by_bridge(lambda sender: sender.comparisons.seconds))
        yield DRIFTS.family(by_bridge(lambda sender: sender.drift.times))
        yield DRIFTED.family(by_bridge(lambda sender: sender.drift.flows))
        yield REPAIRS.family(by_bridge(lambda sender: sender.drift.repairs))
        yield BUNDLE.distribution({(sender.bridge,): sender.durations for sender in senders})

    def _decided(self, snapshot: HostSnapshot) -> Iterator[Family]:
        host = self._host
        found = problems(host, snapshot)
        devices = device_states(snapshot)
        statuses = Counter(device.status for device in devices)
        bridges_agree = all(sender.is_in_sync for sender in host.senders.values())
        yield IN_SYNC.family(bridges_agree and is_settled(host, snapshot, found))
        yield PROBLEMS.family(len(found))
        yield TUNNEL_PROBLEMS.family(len(snapshot.tunnel_problems))
        quarantined = {
            "topology_rows": len(snapshot.row_problems),
            "flow_units": len(snapshot.unit_problems),
            "ports_not_made": len(snapshot.ports_not_made),
            "ports_misplaced": len(snapshot.ports_misplaced),
            "security_rules": len(quarantine(host, snapshot)),
        }
        yield QUARANTINED.family({(what,): number for what, number in quarantined.items()})
        yield PORTS.family({(status.value,): statuses[status] for status in PortStatus})
        yield NETWORKS.family(len({device.network_id for device in devices if device.vlan is not None}))
        yield TUNNELS.family(len(snapshot.tunnels))
        tags, layout = snapshot.tag_drift.times, host.vswitch.layout_drift.record.times
        yield ROW_DRIFTS.family({("tags",): tags, ("layout",): layout})
