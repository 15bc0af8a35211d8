"""What ``tunbridge top`` shows, as values: the ports with what they do, in what order, and what keys make of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.top.port_rates import Rates


@dataclass(frozen=True)
class TopPort:
    """A port of this host.

    :param port: as the controller tells it
    :param rates: None: Open vSwitch has no such device
    :param events: how many the journal has of it
    :param last_event: the name of the last one
    """

    port: Mapping[str, Any]
    rates: Rates | None
    events: int = 0
    last_event: str = ""

    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        port, rates = self.port, self.rates or Rates()
        if self.rates is None:
            numbers: tuple[str, ...] = ("-",) * 6
        else:
            numbers = (
                _short(rates.rx_bits),
                _short(rates.tx_bits),
                _short(rates.rx_packets),
                _short(rates.tx_packets),
                _short(rates.drops),
                _short(rates.dropped),
            )
        vlan = "-" if port["vlan"] is None else str(port["vlan"])
        return port["device"], port["id"] or "-", vlan, port["status"], *numbers, str(self.events), self.last_event


HEADINGS = (
    *("Device", "Port", "VLAN", "Status", "rx bit/s", "tx bit/s", "rx pkt/s", "tx pkt/s"),
    *("drop/s", "dropped", "Events", "Last event"),
)
TEXTS = 4
"""The first so many columns, and the last one, are texts; the others numbers."""

_ORDERS: Mapping[str, tuple[str, Callable[[TopPort], Any]]] = {
    "t": ("traffic", lambda one: -(one.rates or Rates()).bits),
    "d": ("drops", lambda one: (-(one.rates or Rates()).drops, -(one.rates or Rates()).dropped)),
    "e": ("events", lambda one: -one.events),
    "n": ("name", lambda one: one.port["device"]),
}
"""Key → what it orders by, the greatest first, but for names."""

ORDERS = {name: key for key, (name, _) in _ORDERS.items()}
"""Name of an order → its key."""

_ESCAPE, _ENTER, _BACKSPACE = "\x1b", ("\r", "\n"), ("\x7f", "\b")
_UP, _DOWN, _PAGE_UP, _PAGE_DOWN, _HOME = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~", "\x1b[H"


@dataclass(frozen=True)
class TopState:
    """What somebody has chosen.

    :param order: key of an order
    :param words: what a row is to have in it
    :param is_typing: the words are being typed
    :param first: place of the first row that is shown
    """

    order: str = "t"
    is_reversed: bool = False
    words: str = ""
    is_typing: bool = False
    is_paused: bool = False
    first: int = 0
    is_over: bool = field(default=False)

    def after(self, key: str, rows: int) -> TopState:
        """What a key makes of it.

        :param key: a character, or the sequence of a key that has none
        :param rows: that are shown at once
        """
        if self.is_typing:
            return self._typed(key)
        if key in _ORDERS:
            return replace(self, order=key, first=0)
        moves = {_UP: -1, "k": -1, _DOWN: 1, "j": 1, _PAGE_UP: -rows, _PAGE_DOWN: rows, _HOME: -self.first}
        if key in moves:
            return replace(self, first=max(0, self.first + moves[key]))
        return {
            "q": replace(self, is_over=True),
            "r": replace(self, is_reversed=not self.is_reversed, first=0),
            "/": replace(self, is_typing=True, words="", first=0),
            " ": replace(self, is_paused=not self.is_paused),
            _ESCAPE: replace(self, words="", first=0),
        }.get(key, self)

    def _typed(self, key: str) -> TopState:
        if key in _ENTER:
            return replace(self, is_typing=False)
        if key == _ESCAPE:
            return replace(self, is_typing=False, words="")
        if key in _BACKSPACE:
            return replace(self, words=self.words[:-1])
        return replace(self, words=self.words + key) if key.isprintable() else self

    def chosen(self, ports: Iterable[TopPort]) -> list[TopPort]:
        """The ports that have the words, in order; those that are equal by name."""
        words = self.words.lower()
        network = "network_id"
        found = [one for one in ports if words in " ".join([*one.cells(), str(one.port[network])]).lower()]
        found.sort(key=lambda one: one.port["device"])
        found.sort(key=_ORDERS[self.order][1], reverse=self.is_reversed)
        return found

    @property
    def order_name(self) -> str:
        """What it is ordered by, in words."""
        return f"{_ORDERS[self.order][0]}{', reversed' if self.is_reversed else ''}"


def shown(chosen: Sequence[TopPort], first: int, rows: int) -> Sequence[TopPort]:
    """As many as there is room for; never past the last ones."""
    first = max(0, min(first, len(chosen) - rows))
    return chosen[first : first + rows]


def _short(number: float) -> str:
    """E.g. ``0``, ``12``, ``3.4k``, ``950M``."""
    for unit in ("", "k", "M", "G", "T"):
        if number < 999.5:
            return f"{number:.0f}{unit}" if not unit or number >= 99.5 else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.0f}P"
