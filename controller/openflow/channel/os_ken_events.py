"""The application that has os-ken's OpenFlow events to give, in the place of :mod:`os_ken.controller.ofp_handler`.

os-ken's own reads bytes that nobody checked. This one hands on what our sessions read behind their checks, to every
application of the process that has declared a handler by ``set_ev_cls``:

    DESC_STATS_REPLY  config  a switch has told its datapath id and serial number (again and again, until it is let in)
    STATE_CHANGE      main    it is a bridge of this host
    PORT_DESC_STATS   main    all of its ports
    PORT_STATUS       main    a port came, went or changed
    ERROR_MSG         main    it refused something that no request of ours waits for
    STATE_CHANGE      dead    the connection is over; once, if the first of these was told

Applications of other people get them through os-ken's queue, which has 128 places: to one that does not empty it
nothing more is told, since waiting for it would keep the connections waiting. What :mod:`controller.os_ken_apps` has
loaded gets, by its router, a datapath of its own in each event, and messages that nobody else is told of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from os_ken.base.app_manager import OSKenApp, lookup_service_brick
from os_ken.controller import ofp_event
from os_ken.controller.event import EventBase
from os_ken.lib import hub

from controller.openflow.channel.limits import FewLines

LOG = logging.getLogger(__name__)
LOG.addFilter(FewLines(burst=20, rate=1 / 30))  # who is just too slow fills its queue some ten times a second


class SwitchMessage(EventBase):  # type: ignore[misc]
    """A message of a bridge that only applications of others may have to do with; all of its lengths are right.

    :param datapath: whose it is
    :param message: whole, not parsed: that is done in the thread of who wants it
    """

    def __init__(self, datapath: Any, message: bytes) -> None:
        super().__init__()
        self.datapath = datapath
        self.message = message


class EnqueuingApp(OSKenApp):  # type: ignore[misc]
    """An application whose handlers do nothing but enqueue.

    They are called in the thread of the session that has the event. os-ken's own way costs a turn of another thread for
    each event, lets a connection wait while the queue is full, and drops what a handler raises; here it ends the
    connection, which the switch makes anew.
    """

    def handle(self, event: Any, phase: str) -> None:
        """Call the handlers that are declared for an event in that phase."""
        for handler in self.get_handlers(event, phase):
            handler(event)


class OpenFlowEvents(OSKenApp):  # type: ignore[misc]
    """Hands events to whoever observes them. One in a process; its sessions' events are those of all its servers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = ofp_event.NAME  # by which os-ken finds the application that an event comes from
        self.watch: Callable[[SwitchMessage], bool] | None = None
        """Is asked first of such a message, whether it is the answer to what it has asked for; must only enqueue."""
        self.router: Callable[[Any, str], None] | None = None
        """Is given each event and its phase too; must only enqueue."""
        self.routed: set[str] = set()
        """Names of applications that are told by the router, by :meth:`deliver`, and not otherwise."""
        self.lost: dict[str, int] = {}
        """Application → events that it was not told since it has not emptied its queue."""
        self._sending = hub.Semaphore(1)

    def emit(self, event: Any, phase: str) -> None:
        """Hand an event on; never waits for who observes it."""
        for name, phases in list(self.observers.get(type(event), {}).items()):
            app = lookup_service_brick(name)
            if app is None or (phases and phase not in phases) or name in self.routed:
                continue
            if isinstance(app, EnqueuingApp):
                app.handle(event, phase)
            else:
                self.deliver(app, event, phase)
        if isinstance(event, SwitchMessage) and self.watch is not None and self.watch(event):
            return
        if self.router is not None:
            self.router(event, phase)

    def deliver(self, app: Any, event: Any, phase: str) -> None:
        """Put an event into the queue of an application, unless that is full."""
        if app.events.full() and app.name in self.lost:  # of a flood, nearly all
            self.lost[app.name] += 1
            return
        with self._sending:  # so that what is free is not gone before it is used
            lost = self.lost.pop(app.name, 0)
            if app.events.full():
                self.lost[app.name] = lost + 1
                if not lost:
                    LOG.error("application %s does not handle its events: it is told no more until it does", app.name)
                return
            if lost:
                LOG.error("application %s handles events again, %d were not told to it", app.name, lost)
            self.send_event(app.name, event, phase)
