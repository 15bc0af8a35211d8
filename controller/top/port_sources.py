"""Where ``tunbridge top`` has its figures from: the controller of this host, and Open vSwitch's database."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from controller.config.config import Config
from controller.status.control_client import ControlError, call
from controller.top.port_rates import INTERVAL, PortRates
from controller.top.port_table import TopPort
from topology.errors import VSwitchError, VSwitchUnavailable
from topology.ovsdb.replica import ErrorTypes, Replica

_PATIENCE = 5.0
"""Seconds that the controller has for an answer."""

_LAST = 5
"""Events that are shown as such."""

_STEP = 0.05  # seconds


class PortSources:
    """Asks, and puts together what it was told; a context manager.

    Statistics come by themselves, as Open vSwitch writes them; the controller is asked for its ports, which it has in
    memory, and for events that are new.

    :raises ConfigError: certificates of the configuration cannot be used
    """

    def __init__(self, config: Config) -> None:
        self._path = config.control_socket
        self._rates = PortRates()
        errors = ErrorTypes(conflict=VSwitchError, failed=VSwitchError, unavailable=VSwitchUnavailable)
        self._replica: Replica[bool] = Replica(
            config.ovs.ovsdb_connection,
            "Open_vSwitch",
            tables={"Interface": ("name", "statistics")},
            convert=self._rates.follow,
            tls=config.ovs.tls,
            errors=errors,
            quiet=True,
        )
        self._place: dict[str, Any] = {}
        self._answer: Mapping[str, Any] = {"host": "", "ports": []}
        self._events: Counter[str] = Counter()
        self._last_event: dict[str, str] = {}
        self.last: deque[Mapping[str, Any]] = deque(maxlen=_LAST)
        """The latest events."""
        self.problem: str | None = None
        """Why what is shown is not what is there now."""

    def __enter__(self) -> PortSources:
        self._replica.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._replica.stop()

    @property
    def host(self) -> str:
        """Its name."""
        return str(self._answer["host"])

    def ask(self) -> None:
        """Ask the controller.

        :raises ControlError: it does not answer, and never has
        """
        try:
            self._answer = call(self._path, "ports", _PATIENCE)
            self._ask_events()
        except ControlError as error:
            if not self.host:
                raise
            self.problem = str(error)
            return
        self.problem = None if self._replica.connected else "Open vSwitch's database does not answer"

    def ports(self) -> list[TopPort]:
        """All of them, as of now."""
        now = time.monotonic()
        return [self._port(port, now) for port in self._answer["ports"]]

    def wait_for_rates(self) -> None:
        """Wait until Open vSwitch has written statistics, or has nothing to write."""
        until = time.monotonic() + 1.2 * INTERVAL
        while self._rates.written == 0 and time.monotonic() < until:
            time.sleep(_STEP)

    def _port(self, port: Mapping[str, Any], now: float) -> TopPort:
        device, port_id = port["device"], port["id"]
        names = {device, port_id}
        last = self._last_event.get(device) or self._last_event.get(port_id, "")
        return TopPort(port, self._rates.rates(device, now), sum(self._events[name] for name in names), last)

    def _ask_events(self) -> None:
        while True:
            answer = call(self._path, "events", _PATIENCE, **self._place)
            if self._place and answer["journal"] != self._place["journal"]:
                self._events.clear()
                self._last_event.clear()
            self._place = {"journal": answer["journal"], "after": answer["last"]}
            self._count(answer["events"])
            if not answer["more"]:
                return

    def _count(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Each event once, also where it has the port and its device: whoever has both is counted by the device."""
        for event in events:
            self.last.append(event)
            fields = event["fields"]
            about = fields.get("device") or fields.get("port")
            if about is not None:
                self._events[about] += 1
            for name in (fields.get("device"), fields.get("port")):
                if name is not None:
                    self._last_event[name] = event["event"]
