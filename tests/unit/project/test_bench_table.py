"""The table of `make bench`: ratios, what is reached, JSON and the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.cost_plot import plot
from bench.table import Missing, Row, figure, read, table, write

LESS = Row("one port", 13.0, "ms", 10.0, "floor", 1.3, series="one port", size=10, against="ports")
MORE = Row("flows accepted", 90_000.0, "flows/s", 100_000.0, "ovs-ofctl", 1.0, more_is_better=True)
ALONE = Row("20 ports", 41.0, "ms")


def test_a_ratio_is_reached_from_the_side_that_is_better() -> None:
    assert (LESS.ratio, LESS.is_reached) == (1.3, True)
    assert (MORE.ratio, MORE.is_reached) == (0.9, False)
    assert (ALONE.ratio, ALONE.is_reached) == (None, None)


def test_the_table_says_what_is_missed_and_what_is_missing() -> None:
    lines = table([LESS, MORE, ALONE], [Missing("first_frame", "no namespace")]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        *("one port", "13.0 ms", "10.0 ms floor", "1.30", "≤ 1.3 yes"),
    ]
    assert "≥ 1 MISSED" in lines[3]
    assert lines[-1] == "not measured: first_frame: no namespace"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0 ms"), (0.04216, "0.0422 ms"), (1.0, "1.00 ms"), (99.96, "100.0 ms"), (41_300.4, "41,300 ms")],
)
def test_figures_have_three_digits(value: float, expected: str) -> None:
    assert figure(value, "ms") == expected


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "rows.json", [LESS, MORE, ALONE], [Missing("api", "it hangs")], cores=2)
    text = (tmp_path / "rows.json").read_text()
    assert read(text) == [LESS, MORE, ALONE]
    assert '"why": "it hangs"' in text and '"cores": 2' in text


def test_the_picture_has_a_line_for_each_series_and_its_peer() -> None:
    rows = [LESS, Row("one port", 20.0, "ms", 11.0, "floor", series="one port", size=1000, against="ports"), MORE]
    root = ElementTree.fromstring(plot(rows))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one port, ms", "one port, ms: floor", "cost against ports"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 4
    assert ElementTree.fromstring(plot([])) is not None
