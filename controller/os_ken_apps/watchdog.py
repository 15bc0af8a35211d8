"""Notices code of other people that lets nobody else work, and interrupts it.

On green threads whoever computes without an end, or waits by what is not patched, keeps all others from running. A
native thread sees that nothing has moved, and sends a signal; its handler runs in the midst of that code, and raises
there if it is an application's. What is deep in a library in C, without going back to Python, cannot be interrupted.

With native threads nobody keeps others from running for good, and nothing is interrupted.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Sequence
from types import FrameType
from typing import Any

from os_ken.lib import hub

from controller.os_ken_apps.foreign_app import AppInterrupted, ForeignApp

PATIENCE = 3.0
"""Seconds for which nothing may move."""

LOADING = 20.0
"""Seconds that the module of one application may take to be imported."""

_EVERY = 0.2
_RAISED_MAX = 5
"""Interruptions that the code may swallow before one comes that is no Exception."""

_OURS = ("controller.", "apps.", "topology.", "eventlet.", "os_ken.lib.hub", "logging")
"""Code that is not to be interrupted in its midst, though an application has called it."""


class Watchdog:
    """Watches all applications.

    :param apps: may be interrupted, and are told why
    :param modules: of applications of the pipeline that come from other packages: may be interrupted too, which is an
        error like any other that they raise
    """

    def __init__(self, apps: Sequence[ForeignApp], modules: Collection[str] = ()) -> None:
        self._apps = apps
        self._modules = modules
        self._beat = time.monotonic()
        self._patience = LOADING
        self._raised = 0
        self._running = False
        self._main = 0

    def start(self) -> None:
        """Watch from now on, first while they are imported; called in the main thread."""
        if not (self._apps or self._modules) or hub.HUB_TYPE != "eventlet":
            return
        from eventlet import patcher

        self._running = True
        self.beat()
        self._main = patcher.original("_thread").get_ident()
        signal.signal(signal.SIGALRM, self._interrupt)
        start: Any = patcher.original("_thread").start_new_thread
        start(self._watch, (patcher.original("time").sleep,))

    def loaded(self) -> None:
        """All are imported: from now on there is a beat all the time."""
        self.beat()
        self._patience = PATIENCE

    def stop(self) -> None:
        """Watch no more."""
        self._running = False

    def beat(self) -> None:
        """All get their turns."""
        self._beat = time.monotonic()
        self._raised = 0

    @property
    def _is_stuck(self) -> bool:
        return self._running and time.monotonic() > self._beat + self._patience

    def _watch(self, sleep: Any) -> None:
        """In a native thread: waits, and does nothing that green threads do too."""
        while self._running:
            sleep(_EVERY)
            if self._is_stuck:
                signal.pthread_kill(self._main, signal.SIGALRM)

    def _interrupt(self, _signal: int, frame: FrameType | None) -> None:
        if not self._is_stuck or frame is None or _is_ours(frame):
            return
        inner: FrameType | None = frame
        while inner is not None:
            app = next((app for app in self._apps if app.owns(inner)), None)
            if app is not None or str(inner.f_globals.get("__name__")) in self._modules:
                why = (
                    f"it let nobody else work for {self._patience:g} s, in {inner.f_code.co_name} "
                    f"({inner.f_code.co_filename}:{inner.f_lineno})"
                )
                if app is not None:
                    app.blocked = why
                    self._raised += 1
                if self._raised > _RAISED_MAX:
                    raise hub.TaskExit
                raise AppInterrupted(why)
            inner = inner.f_back


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OURS)
