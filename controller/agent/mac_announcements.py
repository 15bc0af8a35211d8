"""The worker that lets br-tun learn where ports are that have moved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from os_ken.lib import hub

from controller.agent.moves import Lesson
from controller.openflow.channel.session import Session
from controller.openflow.wire.packet_out import frame_to_itself
from topology.errors import OpenFlowError

REPEATED = (*(step * 0.05 for step in range(13)), 1.0, 3.0)
"""Seconds after a move at which the lesson is given.

Once is not enough: Open vSwitch learns again from frames that it forwarded before, when it counts them, which is up to
half a second later (``other_config:max-revalidator``) and more when it is busy. Frames for the VM go to where it was
until the next lesson, so the lessons of that half second are close together; each is one packet of some 60 bytes.
"""


class Teacher:
    """Gives lessons; without a connection of br-tun they are left out, and it learns from the VM's own frames.

    :param session: the connection of br-tun, None while there is none
    """

    def __init__(self, session: Callable[[], Session | None]) -> None:
        self._session = session
        self._wanted: hub.Queue = hub.Queue()
        self._stopping = False

    def teach(self, lesson: Lesson) -> None:
        """Have a lesson given, in place of any before it for the same address; returns at once."""
        self._wanted.put(lesson)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopping = True
        self._wanted.put(None)

    def run(self) -> None:
        """Give lessons, until :meth:`stop`."""
        due: dict[tuple[int, str], list[tuple[float, Lesson]]] = {}
        while not self._stopping:
            soonest = min((times[0][0] for times in due.values()), default=None)
            with contextlib.suppress(hub.QueueEmpty):
                lesson = self._wanted.get(timeout=None if soonest is None else max(0.0, soonest - time.monotonic()))
                if lesson is not None:
                    now = time.monotonic()
                    due[lesson.vlan, lesson.mac_address] = [(now + after, lesson) for after in REPEATED]
            for whose, times in list(due.items()):
                while times and times[0][0] <= time.monotonic():
                    self._give(times.pop(0)[1])
                if not times:
                    del due[whose]

    def _give(self, lesson: Lesson) -> None:
        session = self._session()
        if session is not None:
            with contextlib.suppress(OpenFlowError):  # the session has said so, and is closed
                session.pass_in(lesson.ofport, frame_to_itself(lesson.mac_address, lesson.vlan))
