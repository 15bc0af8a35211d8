"""The os-ken application: puts the parts of a controller together, starts them and stops them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from os_ken.base.app_manager import AppManager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_3

from apps.framework.compiler import Compiler
from apps.framework.flow import FlowKey
from apps.framework.pipeline import BridgeRole
from controller.agent import settings
from controller.agent.events import (
    Closed,
    Event,
    Identified,
    PortSeen,
    PortsListed,
    Registered,
    SetUp,
    Stop,
    UnderlaySeen,
    WrittenBack,
)
from controller.agent.host_agent import HostAgent
from controller.agent.outputs import Outputs
from controller.agent.patches import roles
from controller.agent.registration import Registration
from controller.agent.restore.host_identity import installation_id
from controller.agent.restore.state_file import FILE, StateFile, load_or_set_aside
from controller.agent.restore.write_backs import WriteBacks
from controller.agent.security.connection_ender import ConnectionEnder
from controller.agent.security.port_filters import PortFilters
from controller.agent.tunnels.local_address import LocalAddressWatch
from controller.agent.tunnels.port_moves import MacAnnouncer
from controller.agent.tunnels.underlay import UnderlayWatch
from controller.config.config import Config
from controller.openflow.channel.openflow_server import OpenFlowServer
from controller.openflow.channel.os_ken_events import EnqueuingApp, OpenFlowEvents
from controller.openflow.channel.session import Timeouts
from controller.openflow.tables.app_flows import IsOfApp
from controller.openflow.tables.sender import Sender, Synced
from controller.openflow.wire.messages import PortDesc, describe_error
from controller.os_ken_apps.frame_watch import FrameWatch
from controller.os_ken_apps.running_apps import RunningApps
from controller.runtime import garbage
from controller.runtime.inbox import Inbox
from controller.runtime.worker import BatchWriter, Worker
from controller.runtime.workers import Workers
from controller.status.control_server import ControlServer, Handler
from controller.status.flow_explanations import explained_flows
from controller.status.host_status import RunningHost
from controller.status.journal import Journal
from controller.status.security_status import RulePlaces
from controller.vswitch.controller_targets import endpoints
from controller.vswitch.setup_worker import BridgeSetup
from controller.vswitch.tagging import Tagging
from topology.model import Host
from topology.source import PortReport, TopologySource

if TYPE_CHECKING:
    from controller.tracing.binding_spans import BindingSpans

LOG = logging.getLogger(__name__)


class Tunbridge(EnqueuingApp):
    """One controller of one host.

    os-ken's own event loop and connections are not used: its loop drops exceptions, and its connections parse bytes
    that nobody checked. See :mod:`controller.openflow.channel.os_ken_events`.
    """

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(
        self,
        *args: Any,
        config: Config,
        topology: TopologySource,
        workers: Workers,
        metrics: Callable[[], bytes],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._workers = workers
        self._topology = topology
        self._journal = Journal()
        logging.getLogger().addHandler(self._journal)
        names = settings.names(config)
        inbox = self._inbox = Inbox[Event]()
        compiler = Compiler(config.apps.apps)
        timeouts = Timeouts(config.ovs.of_connect_timeout, config.ovs.of_request_timeout)
        self._events = AppManager.get_instance().instantiate(OpenFlowEvents)
        self._others = RunningApps(
            config.os_ken_apps,
            self._events,
            changing=lambda bridge: senders[bridge].app_changes(),
            gone=lambda: _tell_gone(senders.values()),
            pipeline_modules={type(app).__module__ for app in config.apps.apps if app.package is not None},
        )
        self._unsynced = {names.integration_bridge, names.tunnel_bridge}
        """Those that have never had what is wanted of them."""
        senders = _senders(config, compiler, self._synced, self._is_of_app)
        self._watch = FrameWatch(self._events, senders)
        self._server = OpenFlowServer(endpoints(config.ovs, names.bridges), timeouts, self._events.emit)
        vswitch = self._vswitch = settings.vswitch(config)
        learners = {
            BridgeRole.TUNNEL: senders[names.tunnel_bridge],
            BridgeRole.INTEGRATION: senders[names.integration_bridge],
        }
        announcer = MacAnnouncer(lambda role: learners[role].session)
        tags: BatchWriter[Tagging] = BatchWriter("tag", vswitch.tag)
        retried_ports: BatchWriter[str] = BatchWriter("another try", vswitch.retry_ports)
        reports: BatchWriter[PortReport] = BatchWriter("state of port", lambda some: topology.report(some.values()))
        path = Path(config.state_path) / FILE
        saved, lost = load_or_set_aside(path)
        state_file = StateFile(path, lost)
        write_backs = WriteBacks(topology, lambda refused: inbox.post(WrittenBack(refused)))
        bridge_setup = BridgeSetup(vswitch, lambda misplaced: inbox.post(SetUp(misplaced)))
        this_host = settings.this_host(config, installation_id(config.state_path))
        interval = config.agent.report_interval
        registration = Registration(topology, this_host, interval, workers, lambda: inbox.post(Registered()))
        watch = _local_address_watch(config, registration, this_host)
        connections = ConnectionEnder(
            config.ovs.ovsdb_connection,
            config.ovs.datapath_type,
            lambda: senders[names.integration_bridge].session,
        )
        self._tunnel_rows = settings.tunnel_rows(config)
        spans = _binding_spans(config)
        self._underlay = UnderlayWatch(names.integration_bridge, lambda seen: inbox.post(UnderlaySeen(seen)))
        self._beside: tuple[Worker[Any, Any], ...] = (
            *senders.values(), tags, retried_ports, reports, state_file, write_backs, bridge_setup, announcer,
            registration, watch, self._underlay, connections, *([spans] if spans is not None else []),
        )  # fmt: skip
        """What works beside the agent."""
        outputs = Outputs(
            flows=senders,
            tag=tags.submit,
            report=reports.submit,
            set_up=bridge_setup.put,
            register=registration.again,
            save=state_file.put,
            write_back=write_backs.put,
            accepted=self._server.accepted,
            announce=announcer.announce,
            retry_ports=retried_ports.submit,
            follow=topology.follow if topology.is_partial else None,
            note=self._journal.note,
            trace=spans.put if spans is not None else None,
            end_connections=connections.submit,
        )
        self._agent = HostAgent(
            names, settings.tunnel_options(config), compiler, outputs, saved, config.applications,
            PortFilters(config.securitygroup.unenforced),
        )  # fmt: skip
        self.host = RunningHost(
            self._agent, inbox, senders, vswitch, topology, state_file, self._journal, self._others, config.apps,
            connections,
        )  # fmt: skip
        """What can be told of this host."""
        self._control = ControlServer(config.control_socket, self._handlers(metrics))

    def _handlers(self, metrics: Callable[[], bytes]) -> dict[str, Handler]:
        """What is answered at the control socket, by the name of the command."""
        return {
            **self.host.handlers(),
            "explained_flows": partial(explained_flows, self.host),
            "metrics": lambda _: metrics().decode(),
            "watch": self._watch.answer,
        }

    def _synced(self, event: Synced) -> None:
        """A bridge has what is wanted of it; called in the threads of the senders. Once both have, the start is over:
        what was made until then is what the host has, and stays."""
        self._inbox.post(event)
        if self._unsynced:
            self._unsynced.discard(event.bridge)
            if not self._unsynced:
                garbage.loaded()

    def _is_of_app(self, table: int, priority: int, cookie: int) -> bool:
        """Whether a flow is another's that is to stay."""
        return self._others.has_flow(table, priority, cookie) or FrameWatch.has_flow(table, priority, cookie)

    # -- os-ken's events; called in the sessions' threads --------------------------------------------------------------

    @set_ev_cls(ofp_event.EventOFPDescStatsReply, CONFIG_DISPATCHER)
    def switch_identified(self, event: Any) -> None:
        """A switch has told who it is."""
        self._inbox.post(Identified(event.msg.datapath))

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, MAIN_DISPATCHER)
    def ports_listed(self, event: Any) -> None:
        """All ports of a bridge that was let in; :meth:`port_changed` tells what changes after that."""
        self._inbox.post(PortsListed(event.msg.datapath, tuple(map(PortDesc.of, event.msg.body))))

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def port_changed(self, event: Any) -> None:
        """A port of a bridge came, went or changed."""
        status = event.msg
        self._inbox.post(
            PortSeen(status.datapath, PortDesc.of(status.desc), status.reason != ofproto_v1_3.OFPPR_DELETE)
        )

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def request_refused(self, event: Any) -> None:
        """A bridge refused something whose sender does not wait for an answer."""
        error = event.msg
        LOG.warning("%s refused message %#x: %s", error.datapath.name, error.xid, describe_error(error))

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def switch_closed(self, event: Any) -> None:
        """The connection of a switch is over."""
        self._inbox.post(Closed(event.datapath))

    # -- start and stop ------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Become the controller of this host: take its lock and its addresses, and touch nothing else.

        :raises ConfigError: another controller runs on this host, or an address cannot be had
        """
        self._control.start()  # first: it holds the lock against a second controller
        self._server.listen()

    def start(self) -> None:
        """Start to serve, after :meth:`claim`; returns as soon as applications of others are loaded."""
        self._others.load()  # first: flows of those that cannot be are removed
        self._others.start()
        for endpoint in self._server.endpoints:
            self._workers.spawn(f"openflow server at {endpoint.target}", partial(self._server.serve, endpoint))
        for worker in self._beside:
            self._workers.spawn(worker.name, worker.run)
        self._workers.spawn("host controller", partial(self._agent.run, self._inbox))
        self._vswitch.start(self._inbox.post)
        if self._tunnel_rows is not None:
            self._tunnel_rows.start(self._underlay.follow)
        self._topology.start(self._inbox.post)

    def stop(self) -> None:
        """Stop to serve; flows, tags and port states stay as they are."""
        self._journal.finish()
        self._control.stop()
        self._others.stop()
        self._server.stop()
        self._inbox.post(Stop())
        for worker in self._beside:
            worker.stop()
        self._agent.close()
        self._vswitch.stop()
        if self._tunnel_rows is not None:
            self._tunnel_rows.stop()
        self._topology.stop()
        AppManager.get_instance().uninstantiate(self._events.name)
        logging.getLogger().removeHandler(self._journal)


def _tell_gone(senders: Iterable[Sender]) -> None:
    for sender in senders:
        sender.app_gone()


def _binding_spans(config: Config) -> BindingSpans | None:
    """Who tells of bindings as traces; None where nobody wants them.

    :raises ConfigError: that cannot be done
    """
    if config.otel.traces_endpoint is None:
        return None
    from controller.tracing.binding_spans import BindingSpans
    from controller.tracing.exporter import tracer_provider

    return BindingSpans(tracer_provider(config.otel, "tunbridge-controller", config.host), config.host)


def _local_address_watch(config: Config, registration: Registration, this_host: Host) -> LocalAddressWatch:
    """Has the topology told when ``local_ip`` is no address of this host."""
    return LocalAddressWatch(
        config.ovs.local_ip,
        config.ovs.integration_bridge,
        lambda lacking: registration.tell(replace(this_host, lacks_local_ip=lacking)),
    )


def _senders(
    config: Config, compiler: Compiler, synced: Callable[[Synced], None], is_of_app: IsOfApp
) -> Mapping[str, Sender]:
    """Bridge → who writes its flows."""

    places = RulePlaces()

    def owner(bridge: str, key: FlowKey) -> str:
        unit = compiler.owner(bridge, key)
        return places.owner(compiler.view, unit, key) if unit is not None else "no one"

    return {
        name: Sender(
            name,
            partial(owner, name),
            synced,
            keep_foreign=role is BridgeRole.PHYSICAL,
            audit_interval=config.agent.audit_interval,
            is_of_app=is_of_app,
        )
        for name, role in roles(settings.names(config)).items()
    }
