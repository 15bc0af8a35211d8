"""One os-ken application of other people: what it is called, what it may have, and how it does."""

from __future__ import annotations

import itertools
import logging
import time
import traceback
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from os_ken.lib import hub

from apps.framework.cookie import others_cookie
from controller.openflow.channel.limits import FewLines
from controller.openflow.wire.app_messages import app_xid
from controller.runtime.host_events import APPLICATION_ERROR, APPLICATION_STOPPED
from topology.errors import OpenFlowError

LOG = logging.getLogger(__name__)
LOG.addFilter(FewLines(burst=50, rate=0.5))

RATE = 2000.0
"""Messages a second that an application may send, to all bridges together; more wait."""

BURST = 5000.0
"""Messages that it may send at once."""

_GIVE_WAY_EVERY = 16
_RECENT = 60.0
"""Seconds for which status tells of what happens now and then."""

RUNNING, FAILED, STOPPED = "running", "failed", "stopped"


class AppInterrupted(Exception):
    """Raised in the code of an application that keeps the controller from working."""


class MessageRefused(OpenFlowError):
    """Raised in an application that sends what it may not."""


@dataclass
class ForeignApp:
    """One of ``[DEFAULT] os_ken_apps``, with what it needs besides (contexts, services).

    :param module: its name
    :param number: in transaction ids
    """

    module: str
    number: int
    state: str = RUNNING
    reason: str | None = None
    """Why it is not running."""
    instances: list[Any] = field(default_factory=list)
    """Of its classes: OSKenApp."""
    errors: int = 0
    """Exceptions of its handlers, and messages that it was refused."""
    last_error: str | None = None
    blocked: str | None = None
    """Why it was interrupted."""
    handling: tuple[str, float] | None = None
    """The handler that is at work, and since when (time.monotonic())."""
    counter: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.cookie = others_cookie(self.module)
        self.package = self.module.partition(".")[0]
        self._tokens = BURST
        self._since = time.monotonic()
        self._sent = 0
        self._slowed_at: float | None = None

    @property
    def is_running(self) -> bool:
        """True while it is told of events and may send."""
        return self.state == RUNNING

    def next_xid(self) -> int:
        """A transaction id that nobody else uses."""
        return app_xid(self.number, next(self.counter))

    def owns(self, frame: FrameType) -> bool:
        """Whether a frame of Python is of its code."""
        name = str(frame.f_globals.get("__name__", ""))
        return name == self.module or name.startswith(f"{self.module}.")

    def wait_turn(self) -> None:
        """Called before each message: a flood of them waits here."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._since) * RATE) - 1
        self._since = now
        self._sent += 1
        if self._tokens < 0:
            if self._slowed_at is None or now > self._slowed_at + _RECENT:
                LOG.warning("application %s: %s", self.module, _FLOODS)
            self._slowed_at = now
            hub.sleep(-self._tokens / RATE)
        elif self._sent % _GIVE_WAY_EVERY == 0:
            hub.sleep(0)

    def failed(self, what: str, error: BaseException) -> None:
        """Something in it went wrong, and it goes on.

        :param what: was done
        """
        self.errors += 1
        where = traceback.extract_tb(error.__traceback__)
        at = next((f", {frame.filename}:{frame.lineno}" for frame in reversed(where)), "")
        self.last_error = f"{what} raised {type(error).__name__}: {error}{at}"
        event = APPLICATION_ERROR.of(application=self.module, reason=self.last_error)
        LOG.error("application %s: %s", self.module, self.last_error, extra=event)
        if not isinstance(error, MessageRefused):
            LOG.debug("application %s", self.module, exc_info=error)

    def end(self, state: str, reason: str) -> None:
        """It runs no more, or never did."""
        self.state, self.reason = state, reason
        event = APPLICATION_STOPPED.of(application=self.module, reason=reason)
        LOG.error("application %s is left out: %s", self.module, reason, extra=event)

    def complaints(self, lost: int) -> list[str]:
        """What is not as it should be while it runs, in words.

        :param lost: events that it was not told
        """
        found, now = [], time.monotonic()
        if self.last_error is not None:
            found.append(f"{self.errors} errors, the last: {self.last_error}")
        if lost:
            found.append(f"does not handle its events, {lost} were not told to it")
        handling = self.handling
        if handling is not None and now > handling[1] + _LONG:
            found.append(f"{handling[0]} has not come to an end for {now - handling[1]:.0f} s")
        if self._slowed_at is not None and now < self._slowed_at + _RECENT:
            found.append(_FLOODS)
        return found


_FLOODS = f"sends more than {RATE:g} messages a second: they wait"
_LONG = 5.0
"""Seconds after which status tells of a handler that has not come to an end."""
