"""The page on a lab of three hosts: what their controllers have done, flows with counters, traces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.page.browser import Browser, OpenPage
from tests.support.page.page_lab import PageLab, page_lab, ping
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def running() -> Iterator[PageLab]:
    with page_lab() as made:
        ping(made.lab.vms["web1"], made.lab.vms["db1"])
        yield made


@pytest.fixture
def tab(running: PageLab, browser: Browser) -> Iterator[OpenPage]:
    with browser.tab() as opened:
        opened.open(running.api.url)
        opened.wait_complete()
        yield opened
        assert opened.said == []


def test_the_map(running: PageLab, tab: OpenPage) -> None:
    """Hosts, networks, ports, and tunnels by which they reach each other."""
    tab.wait("3 hosts, 3 networks, 7 ports: 7 active", "#summary")
    assert tab.page.locator(".arc").count() == 2
    tab.page.fill("#search", running.lab.vms["web1"].nic.mac)
    tab.page.press("#search", "Enter")  # before the list has followed
    tab.wait("web1", "#details h2")
    details = tab.page.inner_text("#details")
    assert running.lab.vms["web1"].nic.device in details and "OpenFlow port" in details
    assert tab.violations() == []


def test_a_port_that_is_unplugged_and_comes_back(running: PageLab, tab: OpenPage) -> None:
    """Is seen on the map, and told as events, while the page is open."""
    vm = running.lab.vms["app1"]
    host = running.lab.hosts["h1"]
    tab.wait("7 active", "#summary")
    vm.unplug()
    tab.wait("6 active, 1 down", "#summary")
    vm.plug(host)
    tab.wait("7 active", "#summary")
    tab.page.goto(f"{running.api.url}/page/#events")
    for name in ("port-down", "port-bound", "port-active"):
        tab.wait(name, "#events-list .name")
    tab.page.fill("#events-match", vm.nic.port_id)
    tab.wait("port-active", "#events-list .name")
    assert tab.violations() == []


def test_flows_with_what_they_are_for_and_counters(running: PageLab, tab: OpenPage) -> None:
    """From the details of a port to the flows, and their counters move with frames."""
    tab.page.goto(f"{running.api.url}/page/#flows?bridge=br-tun")
    tab.wait("flows of br-tun on host h1", "#flows-said")
    assert tab.page.locator("#flows-table tbody tr").count() == len(running.lab.controllers["h1"].flows("br-tun"))
    first = tab.page.locator("#flows-table tbody tr").first
    assert "From a tunnel" in first.inner_text()
    tab.page.check("#flows-auto")
    ping(running.lab.vms["web1"], running.lab.vms["db1"])

    def more() -> bool:
        ping(running.lab.vms["web1"], running.lab.vms["db1"])
        return tab.page.locator("#flows-table .more").count() > 0

    wait_until(more, 60, "counters have moved")
    tab.page.fill("#flows-match", "no such thing")
    tab.page.keyboard.press("Enter")
    tab.wait("0 flows of br-tun", "#flows-said")
    assert tab.violations() == []


def test_traces(running: PageLab, tab: OpenPage) -> None:
    """One across a tunnel, delivered, as the ping was; a broadcast with all copies; one that is dropped, and why."""
    web, data = running.lab.vms["web1"], running.lab.vms["db1"]
    tab.page.goto(f"{running.api.url}/page/#trace")
    tab.page.fill("#trace-from", web.nic.device)
    tab.page.fill("#trace-to", data.nic.address())
    tab.page.keyboard.press("Enter")
    tab.wait("delivered to port db1 on host h2", "#trace-said")
    titles = tab.page.locator(".path .box .name").all_text_contents()
    assert {"web1", "br-int", "br-tun", "db1"} <= set(titles)
    assert tab.page.locator(".path .delivered").count() == 2  # box and arrow
    assert tab.page.locator(".hops > li").count() >= 2

    tab.page.fill("#trace-to", "ff:ff:ff:ff:ff:ff")
    tab.page.keyboard.press("Enter")
    tab.wait("delivered to 2 receivers", "#trace-said")

    tab.page.fill("#trace-to", running.lab.vms["app2"].nic.mac)
    tab.page.keyboard.press("Enter")
    tab.wait("dropped", "#trace-said")
    assert tab.page.locator(".path .box.dropped").count() == 1
    assert tab.violations() == []
