"""The os-ken application: puts the parts of a controller together, starts them and stops them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from os_ken.base import app_manager
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3

from apps.framework.pipeline import BridgeRole
from controller.agent import settings
from controller.agent.events import Registered, SetUp, SetUpFailed, Stop, TimeToReport, TimeToRetry, WrittenBack
from controller.agent.host_controller import HostController
from controller.agent.mac_announcements import Teacher
from controller.agent.outputs import Effects
from controller.agent.patch_ports import roles
from controller.agent.registration import Registration
from controller.agent.restore.host_identity import installation_id
from controller.agent.restore.state_file import FILE, MemoryFile, load
from controller.agent.restore.write_backs import WriteBacks
from controller.config.config import Config
from controller.openflow.channel.listener import Timeouts
from controller.openflow.channel.openflow_server import Server
from controller.openflow.tables.sender import Sender
from controller.runtime.workers import Inbox, Workers
from controller.runtime.writers import RETRY, BatchWriter
from controller.status import host_status
from controller.status.control_server import ControlServer
from controller.vswitch.controller_targets import endpoints
from controller.vswitch.tagging import Tagging
from topology.errors import VSwitchError
from topology.source import PortReport, TopologySource

LOG = logging.getLogger(__name__)

_STOP = object()
"""Ends a worker."""


class Tunbridge(app_manager.OSKenApp):  # type: ignore[misc]
    """One controller of one host.

    os-ken's own event loop and connections are not used: its loop drops exceptions, and its connections parse bytes
    that nobody checked.
    """

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *args: Any, config: Config, topology: TopologySource, workers: Workers, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._workers = workers
        self._topology = topology
        ovs = config.ovs
        names = settings.names(config)
        inbox: Inbox[Any] = Inbox()
        self._inbox = inbox
        self._setup_wanted: hub.Queue = hub.Queue()
        self._senders = {
            name: Sender(
                name,
                self._describe(name),
                lambda synced: inbox.post(("synced", synced.bridge), synced),
                keep_foreign=role is BridgeRole.PHYSICAL,
                audit_interval=config.agent.audit_interval,
            )
            for name, role in roles(names).items()
        }
        self._teacher = Teacher(lambda: self._senders[names.tunnel_bridge].session)
        self._tags: BatchWriter[Tagging] = BatchWriter("tag", self._write_tags)
        self._nudges: BatchWriter[str] = BatchWriter("another try", self._nudge)
        self._reports: BatchWriter[PortReport] = BatchWriter("state of port", self._write_reports)
        remembered = Path(config.state_path) / FILE
        self._memory = MemoryFile(remembered)
        self._write_backs = WriteBacks(
            topology, workers, lambda refused: inbox.post("written back", WrittenBack(refused))
        )
        effects = Effects(
            senders=self._senders,
            tag=self._tags.put,
            report=self._reports.put,
            set_up=self._setup_wanted.put,
            register=lambda: self._registration.again(),
            remember=self._memory.put,
            write_back=self._write_backs.put,
            accepted=lambda session: self._server.accepted(session),
            teach=self._teacher.teach,
            nudge=self._nudges.put,
            wake=lambda seconds: hub.spawn_after(seconds, inbox.post, "time to retry", TimeToRetry()),
            remind=lambda seconds: hub.spawn_after(seconds, inbox.post, "time to report", TimeToReport()),
        )
        self._controller = HostController(names, settings.tunnel_options(config), inbox, effects, load(remembered))
        timeouts = Timeouts(ovs.of_connect_timeout, ovs.of_request_timeout)
        self._server = Server(endpoints(ovs, names.bridges), timeouts, self._controller)
        self._vswitch = settings.vswitch(config)
        self.host = host_status.Host(self._controller, inbox, self._senders, self._vswitch, topology, self._memory)
        """What can be told of this host."""
        self._control = ControlServer(config.control_socket, self.host.handlers())
        self._registration = Registration(
            topology,
            settings.this_host(config, installation_id(config.state_path)),
            config.agent.report_interval,
            workers,
            lambda: inbox.post("registered", Registered()),
        )

    def _describe(self, bridge: str) -> Any:
        return lambda key: str(self._controller.compiler.owner(bridge, key) or "no one")

    def claim(self) -> None:
        """Become the controller of this host: take its lock and its addresses, and touch nothing else.

        :raises ConfigError: another controller runs on this host, or an address cannot be had
        """
        self._control.start()  # first: it holds the lock against a second controller
        self._server.listen()

    def start(self) -> None:
        """Start to serve, after :meth:`claim`; returns at once."""
        for endpoint in self._server.endpoints:
            self._workers.spawn(f"openflow server at {endpoint.target}", partial(self._server.serve, endpoint))
        for name, sender in self._senders.items():
            self._workers.spawn(f"sender of {name}", sender.run)
        self._workers.spawn("tags", self._tags.run)
        self._workers.spawn("nudges", self._nudges.run)
        self._workers.spawn("port states", self._reports.run)
        self._workers.spawn("memory", self._memory.run)
        self._workers.spawn("write-backs", self._write_backs.run)
        self._workers.spawn("bridge set-up", self._set_up)
        self._workers.spawn("teacher", self._teacher.run)
        self._workers.spawn("registration", self._registration.run)
        self._workers.spawn("host controller", self._controller.run)
        self._vswitch.start(lambda batch: self._inbox.post("vswitch", batch))
        self._topology.start(lambda batch: self._inbox.post("topology", batch))

    def stop(self) -> None:
        """Stop to serve; flows, tags and port states stay as they are."""
        self._control.stop()
        self._server.stop()
        self._inbox.post("stop", Stop())
        self._registration.stop()
        self._setup_wanted.put(_STOP)
        self._teacher.stop()
        self._tags.stop()
        self._nudges.stop()
        self._reports.stop()
        self._write_backs.stop()
        self._memory.stop()
        for sender in self._senders.values():
            sender.stop()
        for session in list(self._controller.datapaths.sessions.values()):
            session.close()
        self._vswitch.stop()
        self._topology.stop()

    def _write_tags(self, wanted: Mapping[str, Tagging]) -> None:
        self._vswitch.tag(wanted)

    def _nudge(self, ports: Mapping[str, str]) -> None:
        self._vswitch.nudge(ports)

    def _write_reports(self, wanted: Mapping[str, PortReport]) -> None:
        self._topology.report(wanted.values())

    def _set_up(self) -> None:
        """Make bridges, patches and tunnel ports as they should be, whenever that may have changed."""
        complaint = ""
        while (wanted := self._setup_wanted.get()) is not _STOP:
            while wanted is not _STOP and not self._setup_wanted.empty():
                wanted = self._setup_wanted.get()  # the last word counts
            if wanted is _STOP:
                return
            try:
                changes, misplaced = self._vswitch.set_up(wanted)
                level = logging.WARNING if self._vswitch.layout_drift.is_repair else logging.INFO
                for change in changes:
                    LOG.log(level, "%s", change)
                self._inbox.post("set up", SetUp(misplaced))
                complaint = ""
            except VSwitchError as error:
                if str(error) != complaint:
                    LOG.error("bridges are not set up: %s", error)
                complaint = str(error)
                hub.spawn_after(RETRY, self._inbox.post, "set up again", SetUpFailed())
