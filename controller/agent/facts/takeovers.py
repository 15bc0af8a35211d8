"""Ports that go back and forth between this host and others, and for how long this one leaves them where they are.

A device that is plugged while its controller watches takes its port over from the host that has bound it, where no
``binding:host_id`` says which it is. Two hosts whose devices are plugged again and again would rewrite the row of the
port each time, and every host of the network its flows. A few times that is how a guest comes and goes; from then on
each takeover waits for longer than the one before. The topology tells both of every move, so neither needs the other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from controller.runtime.backoff import Backoff
from controller.runtime.host_events import PORT_FLAPPING, PORT_FLAPPING_OVER

LOG = logging.getLogger(__name__)

FREE = 4
"""Moves of a port that nobody has to wait for."""

PAUSES = Backoff(1.0, 60.0)
"""From the last move of a port until this host may take it over once more."""

CALM = 300.0
"""Seconds without a move after which nothing is known against a port any more; longer than any pause."""


@dataclass
class _Flapping:
    """A port that has moved lately.

    :param moves: in a row, none of them CALM after the one before
    :param last: when it moved last, as of :func:`time.monotonic`
    :param until: when its next takeover is due; None: at once
    :param text: what is said of it, None as long as it is nothing special
    """

    moves: int = 0
    last: float = 0.0
    until: float | None = None
    text: str | None = None


class Takeovers:
    """Follows them; costs what moves."""

    def __init__(self) -> None:
        self.lines: tuple[str, ...] = ()
        """One for each port that goes back and forth, sorted; replaced, never changed."""
        self.due: float | None = None
        """When :meth:`over` has to be called though nothing happens, as of :func:`time.monotonic`."""
        self._ports: dict[str, _Flapping] = {}

    def moved(self, port_id: str, hosts: Iterable[str], now: float) -> None:
        """A host has taken a port over from another one.

        :param hosts: the two
        :param now: as of :func:`time.monotonic`
        """
        port = self._ports.setdefault(port_id, _Flapping())
        port.moves, port.last = port.moves + 1, now
        if port.moves > FREE:
            port.until = now + PAUSES.pause(port.moves - FREE)
        self.due = _due(port) if self.due is None else min(self.due, _due(port))
        if port.moves > FREE and port.text is None:
            one, other = sorted(hosts)
            port.text = (
                f"port {port_id} goes back and forth between hosts {one} and {other}: devices for it are plugged on "
                "both again and again, and the next takeover waits, longer each time"
            )
            LOG.warning("%s", port.text, extra=PORT_FLAPPING.of(port=port_id, reason=port.text))
            self._tell()

    def forget(self, port_id: str) -> None:
        """The topology has no such port any more."""
        port = self._ports.pop(port_id, None)
        if port is not None and port.text is not None:
            self._tell()

    def is_waiting(self, port_id: str) -> bool:
        """Whether a port stays with the host that has bound it for now."""
        port = self._ports.get(port_id)
        return port is not None and port.until is not None

    def over(self, now: float) -> set[str]:
        """Ids of the ports that may be taken over by now; each is said once."""
        found = set[str]()
        if self.due is None or self.due > now:
            return found
        for port_id, port in list(self._ports.items()):
            if port.until is not None and port.until <= now:
                port.until = None
                found.add(port_id)
            if port.last + CALM <= now:
                self.forget(port_id)
                if port.text is not None:
                    LOG.info("no longer so: %s", port.text, extra=PORT_FLAPPING_OVER.of(port=port_id, reason=port.text))
        self.due = min(map(_due, self._ports.values()), default=None)
        return found

    def _tell(self) -> None:
        self.lines = tuple(sorted(port.text for port in self._ports.values() if port.text is not None))


def _due(port: _Flapping) -> float:
    return port.last + CALM if port.until is None else port.until
