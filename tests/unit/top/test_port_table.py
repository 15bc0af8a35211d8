"""Rates out of counters, and what keys make of the table of ``tunbridge top``."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from controller.top import screen
from controller.top.port_rates import INTERVAL, PortRates, Rates
from controller.top.port_table import HEADINGS, TopPort, TopState, shown


def port(device: str, rates: Rates | None = None, events: int = 0, **values: Any) -> TopPort:
    known = {"device": device, "id": f"id-{device}", "network_id": "net1", "vlan": 1, "status": "ACTIVE", **values}
    return TopPort(known, rates, events)


PORTS = (
    port("tap2", Rates(rx_bits=10), 5),
    port("tap1", Rates(tx_bits=10), 1),
    port("tap3", Rates(rx_bits=6, tx_bits=5, dropped=3), 1),
    port("tap4", Rates(drops=1, dropped=1), status="DOWN", vlan=None),
    port("tap5", network_id="net2"),
)


def names(state: TopState) -> str:
    return "".join(one.port["device"].removeprefix("tap") for one in state.chosen(PORTS))


def test_what_is_counted_becomes_rates() -> None:
    """Over the time between two writes; what has come after a long silence has come in the last interval."""
    rates = PortRates()
    rates.put("tap1", {"rx_bytes": 1000, "rx_packets": 10, "tx_dropped": 7}, 0.0)
    assert rates.rates("tap1", 1.0) == Rates(dropped=7)
    rates.put("tap1", {"rx_bytes": 2000, "rx_packets": 20, "tx_bytes": 500, "tx_dropped": 8, "rx_errors": 4}, INTERVAL)
    assert rates.rates("tap1", INTERVAL + 1) == Rates(1600.0, 800.0, 2.0, 0.0, 1.0, 12)
    assert rates.rates("tap1", 3 * INTERVAL) == Rates(dropped=12)  # nothing was written since: nothing moves
    rates.put("tap1", {"rx_bytes": 2000 + 125 * 5, "rx_packets": 21}, 1000.0)
    assert rates.rates("tap1", 1000.0) == Rates(rx_bits=1000.0, rx_packets=0.2)
    rates.put("tap1", {"rx_bytes": 10}, 1005.0)  # another device of that name
    assert rates.rates("tap1", 1005.0) == Rates()
    assert rates.rates("tap9", 0.0) is None


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ("", "31245"),
        ("r", "45123"),
        ("n", "12345"),
        ("nr", "54321"),
        ("d", "43125"),
        ("e", "21345"),
        ("/tap3\n", "3"),
        ("/NET2\r", "5"),
        ("/down", "4"),
        ("/tap39\x7f\n", "3"),
        ("/tap3\x1b", "31245"),
        ("/tap3\n\x1b", "31245"),
        ("/q\nn", ""),
        ("x", "31245"),
    ],
)
def test_orders_and_filters(keys: str, order: str) -> None:
    """What is typed as a filter is no command, and what is equal is by name."""
    state = TopState()
    for key in keys:
        state = state.after(key, 10)
    assert names(state) == order
    assert not state.is_over


def test_moving_and_the_end() -> None:
    state = TopState()
    for key, first in (("j", 1), ("\x1b[B", 2), ("\x1b[6~", 12), ("k", 11), ("\x1b[5~", 1), ("\x1b[H", 0), ("k", 0)):
        state = state.after(key, 10)
        assert state.first == first
    assert [one.port["device"] for one in shown(PORTS, 4, 2)] == ["tap4", "tap5"]
    assert len(shown(PORTS, 0, 10)) == 5
    assert state.after(" ", 10).is_paused
    assert state.after("q", 10).is_over


@pytest.mark.parametrize(
    ("bits", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (99_400, "99.4k"), (123_456, "123k"), (2.5e9, "2.5G"), (3e20, "300000P")],
)
def test_numbers_are_short(bits: float, text: str) -> None:
    assert port("tap1", Rates(rx_bits=bits)).cells()[4] == text


@pytest.mark.parametrize("columns", [20, 80, 140, 250])
def test_a_thousand_ports_on_any_screen(columns: int) -> None:
    """As many lines as there are, none longer than a line; what guests are called reaches no terminal as a command."""

    class Sources:
        host, problem = "h1", None
        last = ({},) * 5

    ports = [port(f"tap{number}\x1b[2J", Rates(rx_bits=number)) for number in range(1000)]
    console = Console(file=io.StringIO(), width=columns, height=24, color_system=None, legacy_windows=False)
    page = screen._page(Sources(), TopState(), ports, 1000, 13, lambda _: "event " * 50)  # type: ignore[arg-type]
    console.print(page)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in "".join(lines)
    assert len(HEADINGS) == len(ports[0].cells())
