"""The os-ken applications of other people that run in this process: told of our bridges, contained, and told of.

Each has a thread of its own, in which its handlers are called one after the other, as os-ken does. What a handler
raises is logged and counted. One that lets nobody else work is interrupted (:mod:`controller.os_ken_apps.watchdog`) and
stopped: it is told no more, may send no more, and its flows go.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER
from os_ken.lib import hub

from apps.framework.cookie import OTHERS_MASK, is_of_others, is_ours
from apps.framework.pipeline import is_for_others
from controller.openflow.channel.os_ken_events import OpenFlowEvents, SwitchMessage
from controller.openflow.channel.session import Session
from controller.openflow.wire import messages
from controller.openflow.wire.app_messages import APPS_MAX, app_of, cookie_of, event_class
from controller.os_ken_apps.checked_datapath import CheckedDatapath
from controller.os_ken_apps.foreign_app import FAILED, STOPPED, ForeignApp
from controller.os_ken_apps.loading import AppLoadError, load, unload
from controller.os_ken_apps.watchdog import Watchdog
from controller.runtime.host_events import APPLICATION_STARTED

LOG = logging.getLogger(__name__)

Json = dict[str, Any]

_CHECK_EVERY = 0.2
"""Seconds between two looks at whether one has been interrupted."""

_STOP_WITHIN = 2.0
"""Seconds that applications have to stop when the process ends."""


class RunningApps:
    """All of ``[DEFAULT] os_ken_apps``.

    :param modules: their names
    :param changing: is called with a bridge's name before an application changes flows there
    :param gone: is called when an application has been stopped: its flows are to go
    :param pipeline_modules: of applications of the pipeline that come from other packages, which are watched too
    """

    def __init__(
        self,
        modules: Sequence[str],
        events: OpenFlowEvents,
        changing: Callable[[str], None],
        gone: Callable[[], None],
        pipeline_modules: Collection[str] = (),
    ) -> None:
        self._apps = [ForeignApp(module, number) for number, module in enumerate(modules[:APPS_MAX])]
        self._events = events
        self._changing = changing
        self._gone = gone
        self._datapaths: dict[Session, dict[str, CheckedDatapath]] = {}
        self._watchdog = Watchdog(self._apps, pipeline_modules)
        self._is_watching = bool(self._apps or pipeline_modules)
        self._stopping = False

    # -- for other threads ---------------------------------------------------------------------------------------------

    def has_flow(self, table: int, priority: int, cookie: int) -> bool:
        """Whether a flow is of an application that runs, and where it may be."""
        if not is_of_others(cookie) or not is_for_others(table, priority):
            return False
        return any(app.cookie == cookie & OTHERS_MASK and app.is_running for app in self._apps)

    def load(self) -> None:
        """Import and make all; what cannot be is left out."""
        self._watchdog.start()
        seen: dict[int, str] = {}
        for app in self._apps:
            if (other := seen.setdefault(app.cookie, app.module)) != app.module:
                app.end(FAILED, f"its cookie {app.cookie:#x} is that of {other} too: give its module another name")
                continue
            self._watchdog.beat()
            try:
                load(app)
            except AppLoadError as error:
                app.end(FAILED, str(error))
                continue
            self._events.routed.update(one.name for one in app.instances)

    def start(self) -> None:
        """Tell them of bridges from now on."""
        for app in self._apps:
            for one in app.instances if app.is_running else ():
                one._event_loop = lambda app=app, one=one: self._serve(app, one)  # what its start() is to run
                try:
                    one.start()
                except Exception as error:
                    self._end(app, STOPPED, f"its start() raised {type(error).__name__}: {error}")
                    break
            if app.is_running:
                event = APPLICATION_STARTED.of(application=app.module)
                LOG.info("application %s runs, cookie %#x", app.module, app.cookie, extra=event)
        if self._apps:
            self._events.router = self._route
        if self._is_watching:
            self._watchdog.loaded()
            hub.spawn(self._watch)

    def stop(self) -> None:
        """End them, as far as they let themselves be ended in time."""
        self._stopping = True
        self._events.router = None
        self._watchdog.stop()
        running = [one for app in self._apps if app.is_running for one in app.instances]
        ended: hub.Queue = hub.Queue()

        def end(one: Any) -> None:
            try:
                one.stop()
                one.close()
            except Exception as error:
                LOG.warning("application %s: its stop() raised %s", one.name, error)
            ended.put(None)

        deadline = time.monotonic() + _STOP_WITHIN
        for one in running:
            hub.spawn(end, one)
        for _ in running:
            try:
                ended.get(timeout=max(0.01, deadline - time.monotonic()))
            except hub.QueueEmpty:
                break
        for app in self._apps:
            if app.is_running:  # whoever sends without an end gets an error now: its thread would keep the process
                app.state, app.reason = STOPPED, "the controller ends"
            unload(app.instances)

    def told(self, flows: Callable[[int], dict[str, int]]) -> list[Json]:
        """Each of them, for status.

        :param flows: half of a cookie → bridge → number of flows
        """
        return [
            {
                "name": app.module,
                "state": app.state,
                "reason": app.reason,
                "cookie": f"{app.cookie:#x}",
                "flows": flows(app.cookie),
                "problems": app.complaints(self._lost(app)) if app.is_running else [],
            }
            for app in self._apps
        ]

    def failures(self) -> list[str]:
        """Those that do not run, in words."""
        return [f"application {app.module} is left out: {app.reason}" for app in self._apps if not app.is_running]

    def complaints(self) -> list[str]:
        """What those that run do wrong, in words."""
        running = [app for app in self._apps if app.is_running]
        return [f"application {app.module}: {line}" for app in running for line in app.complaints(self._lost(app))]

    def _lost(self, app: ForeignApp) -> int:
        return sum(self._events.lost.get(one.name, 0) for one in app.instances)

    # -- from the sessions, in their threads ---------------------------------------------------------------------------

    def _route(self, event: Any, phase: str) -> None:
        if isinstance(event, ofp_event.EventOFPStateChange):
            self._state_changed(event.datapath, phase)
            return
        session = event.datapath if isinstance(event, SwitchMessage) else event.msg.datapath
        datapaths = self._datapaths.get(session)
        if datapaths is None:
            return
        if isinstance(event, SwitchMessage):
            self._deliver(self._meant(event.message), _begun(datapaths), event.message, phase)
        elif isinstance(event, ofp_event.EventOFPPortDescStatsReply):
            self._begin(session, datapaths, event.msg)
        elif isinstance(event, ofp_event.EventOFPPortStatus):
            for datapath in datapaths.values():
                datapath.port_changed(event.msg)
            self._deliver_copies(_begun(datapaths), event.msg, phase)

    def _state_changed(self, session: Session, phase: str) -> None:
        if phase == MAIN_DISPATCHER:
            self._datapaths[session] = {
                app.module: CheckedDatapath(session, app, self._changing) for app in self._apps if app.is_running
            }
        elif phase == DEAD_DISPATCHER:
            self._tell_state(self._datapaths.pop(session, {}), phase)

    def _begin(self, session: Session, datapaths: dict[str, CheckedDatapath], ports: Any) -> None:
        """A bridge has told its ports: now it is there for applications, in the order in which os-ken tells of one."""
        for datapath in datapaths.values():
            datapath.set_ports(ports.body)
        self._tell_state(datapaths, CONFIG_DISPATCHER)
        self._deliver_copies(datapaths, session.handshake.switch_features, CONFIG_DISPATCHER)
        self._deliver_copies(datapaths, ports, CONFIG_DISPATCHER)
        self._tell_state(datapaths, MAIN_DISPATCHER)

    def _tell_state(self, datapaths: dict[str, CheckedDatapath], phase: str) -> None:
        for app in self._apps:
            if (datapath := datapaths.get(app.module)) is not None:
                datapath.state = phase
                event = ofp_event.EventOFPStateChange(datapath)
                event.state = phase
                self._give(app, event, type(event), phase)

    def _deliver_copies(self, datapaths: dict[str, CheckedDatapath], message: Any, phase: str) -> None:
        for app in self._apps:
            if (datapath := datapaths.get(app.module)) is not None:
                own = copy.copy(message)
                own.datapath = datapath
                event = ofp_event.ofp_msg_to_ev(own)
                self._give(app, event, type(event), phase)

    def _deliver(
        self, apps: Iterable[ForeignApp], datapaths: dict[str, CheckedDatapath], message: bytes, phase: str
    ) -> None:
        kind = event_class(message)
        for app in apps:
            if kind is not None and (datapath := datapaths.get(app.module)) is not None:
                self._give(app, SwitchMessage(datapath, message), kind, phase)

    def _meant(self, message: bytes) -> list[ForeignApp]:
        """Those that a message is for: who has asked, or whose flow it is about; of flows of nobody's, all."""
        cookie = cookie_of(message)
        if cookie is None:
            number = app_of(messages.xid_of(message))
            return [app for app in self._apps if app.number == number]
        if is_ours(cookie):
            return []
        return [app for app in self._apps if not is_of_others(cookie) or app.cookie == cookie & OTHERS_MASK]

    def _give(self, app: ForeignApp, event: Any, kind: type, phase: str) -> None:
        if not app.is_running:
            return
        for one in app.instances:
            handlers = one.event_handlers.get(kind, ())
            if any(_wants(handler, kind, phase) for handler in handlers):
                self._events.deliver(one, event, phase)

    # -- the applications' own threads ---------------------------------------------------------------------------------

    def _serve(self, app: ForeignApp, one: Any) -> None:
        """In the place of os-ken's loop, which does not say whose exception it has dropped."""
        while one.is_active and app.is_running:
            event, phase = one.events.get()
            one._events_sem.release()
            if event == one._event_stop:
                continue
            try:
                if isinstance(event, SwitchMessage):
                    event = ofp_event.ofp_msg_to_ev(messages.parsed(event.message, event.datapath))
            except Exception as error:  # lengths are right, and os-ken cannot read it
                app.failed("reading an answer", error)
                continue
            for handler in list(one.get_handlers(event, phase)):
                name = f"{type(one).__name__}.{handler.__name__} ({type(event).__name__})"
                app.handling = (name, time.monotonic())
                try:
                    handler(event)
                except Exception as error:
                    if app.blocked is None:
                        app.failed(name, error)
                finally:
                    app.handling = None
            hub.sleep(0)

    def _watch(self) -> None:
        while not self._stopping:
            self._watchdog.beat()
            for app in self._apps:
                if app.blocked is not None and app.is_running:
                    self._end(app, STOPPED, app.blocked)
            hub.sleep(_CHECK_EVERY)

    def _end(self, app: ForeignApp, state: str, reason: str) -> None:
        app.end(state, reason)
        for one in app.instances:
            one.is_active = False
            for thread in one.threads:
                hub.kill(thread)
        unload(app.instances)
        self._events.routed.difference_update(one.name for one in app.instances)
        self._gone()


def _begun(datapaths: dict[str, CheckedDatapath]) -> dict[str, CheckedDatapath]:
    """Those of which the applications have been told that they are there."""
    return {name: one for name, one in datapaths.items() if one.state in (CONFIG_DISPATCHER, MAIN_DISPATCHER)}


def _wants(handler: Any, kind: type, phase: str) -> bool:
    caller = getattr(handler, "callers", {}).get(kind)
    return caller is None or not caller.dispatchers or phase in caller.dispatchers
