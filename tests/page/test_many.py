"""A hundred hosts with ten thousand ports: the page stays usable. What it takes is printed; see docs/page.md."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.page.browser import NARROW, WIDE, Browser
from tests.support.page.page_api import OPTIONS
from tests.support.page.simulated_fabric import fill
from tests.topology.ovsdb import OvsdbServer

HOSTS, PORTS, NETWORKS = 100, 10_000, 97  # so that each network has ports on all hosts
ELEMENTS_MAX = 4_000
"""Of the document, however many ports there are."""


@pytest.fixture(scope="module")
def many() -> Iterator[ApiProcess]:
    with OvsdbServer() as database:
        database.start()
        with ApiProcess(database.connection, options=OPTIONS) as api:
            fill(api, database.connection, hosts=HOSTS, ports=PORTS, networks=NETWORKS)
            yield api


def test_the_page_stays_usable(many: ApiProcess, browser: Browser) -> None:
    """All is shown and found; what is in the document grows with hosts, not with ports."""
    with browser.tab(WIDE) as tab:
        tab.open(many.url)
        marks = tab.wait_complete()
        tab.wait("100 hosts, 97 networks, 10,000 ports: 9,592 active, 204 being built, 204 down", "#summary")
        assert tab.page.locator(".tile").count() == HOSTS
        assert tab.page.evaluate("document.querySelectorAll('*').length") < ELEMENTS_MAX

        begun = time.monotonic()
        tab.page.fill("#search", "vm9876")
        tab.wait("1 match", "#found")
        searched = time.monotonic() - begun
        tab.page.locator("#results [role=option]").first.click()
        tab.wait("vm9876", "#details h2")
        begun = time.monotonic()
        tab.page.locator("#details").get_by_role("button", name="host76", exact=True).click()
        tab.wait("host76", "#details h2")
        chosen = time.monotonic() - begun
        assert tab.page.locator(".arc.selected").count() == HOSTS - 1
        assert tab.violations() == []

        tab.page.fill("#search", "")
        tab.page.press("#search", "ArrowDown")
        tab.page.keyboard.press("End")
        tab.wait("vm10000", "#results")
        assert tab.page.locator("#results [role=option]").count() < 60

        heap = tab.heap()
        print(
            f"\n{HOSTS} hosts, {PORTS:,} ports: first picture {marks['first-picture']:.0f} ms, "
            f"all {marks['complete']:.0f} ms, search {searched * 1000:.0f} ms, "
            f"choice of a host {chosen * 1000:.0f} ms, JavaScript heap {heap / 1e6:.0f} MB"
        )
        assert tab.complaints == []
    with browser.tab(NARROW, "dark") as tab:
        tab.open(many.url)
        tab.wait_complete()
        assert tab.violations() == []
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
