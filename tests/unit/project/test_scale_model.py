"""What bench/scale_model.py makes of figures: laws that they follow, what breaks first, tables and a picture."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from bench.scale_model import BEGIN, END, bent, limits, straight, table, with_tables
from bench.scale_plot import plot


def test_the_model_finds_the_law_of_its_points() -> None:
    assert straight([(10, 7.0), (50, 15.0), (200, 45.0)]).at(1000) == pytest.approx(205.0)
    assert bent([(hosts, 0.5 * hosts + 0.01 * hosts**2) for hosts in (10, 50, 200)]).at(1000) == pytest.approx(10500.0)
    assert bent([(10, 5.0), (100, 45.0)]).at(1000) == pytest.approx(1000 * 0.5055, rel=0.01)  # nothing is bent down


def _figures(hosts: int) -> dict[str, object]:
    """Of a server that takes 1 ms for a change, 1 µs · N² in an idle second, and 1 MB for each host."""
    names = "server 0", "servers", "concerned", "others", "messages", "bytes", "flow_mods", "bundles", "OpenFlow bytes"
    nothing = dict.fromkeys(names, 0.0)
    return {
        "hosts": hosts,
        "real": hosts,
        "known": [0.02, 0.03],
        "change": {**nothing, "server 0": 1e-3, "servers": 1e-3},
        "idle": {**nothing, "server 0": 1e-6 * hosts**2},
        "join": [1.0],
        "join_known": [0.9],
        "join_processor": 1.2,
        "join_used": nothing,
        "server_memory": hosts,
        "controller_memory": 50.0,
    }


def test_what_breaks_first_comes_first() -> None:
    found = limits([_figures(hosts) for hosts in (10, 50, 200)])
    assert [round(hosts) for hosts, _ in found[:3]] == pytest.approx([992, 1000, 8000], rel=0.01)
    assert [what.partition(",")[0] for _, what in found[:2]] == ["the processor of a server"] * 2
    assert [hosts for hosts, _ in found[3:]] == [math.inf] * 2


def test_the_page_gets_the_tables() -> None:
    measured = {"one server": [_figures(hosts) for hosts in (10, 50, 200)]}
    page = with_tables(f"before\n{BEGIN}\nold\n{END}\nafter\n", measured)
    assert page == f"before\n{BEGIN}\n\n{table('one server', measured['one server'])}\n{END}\nafter\n"
    row = "| memory: MB, the largest server | 10.0 | 50.0 | 200 | 1,000 | 10,000 |"
    assert row in page.splitlines()
    assert with_tables(page, measured) == page


def test_the_picture_has_a_point_for_each_figure() -> None:
    measured = {kind: [_figures(hosts) for hosts in (10, 50, 200)] for kind in ("one server", "three members")}
    picture = ElementTree.fromstring(plot(measured))
    assert len(picture.findall("{*}circle")) == 2 * 3 * 5
