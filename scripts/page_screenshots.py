"""Writes the pictures of docs/page.md: the page on a lab of three hosts, in a headless Chromium. Needs root.

``python -m scripts.page_screenshots docs/page``, as ``make page-screenshots`` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tests.support.page.browser import NARROW, WIDE, Browser, OpenPage, screenshot
from tests.support.page.page_lab import PageLab, page_lab, ping


def main(folder: Path) -> int:
    """Write them all, over those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    with page_lab() as running, Browser() as browser:
        ping(running.lab.vms["web1"], running.lab.vms["db1"])
        ping(running.lab.vms["app1"], running.lab.vms["app2"])
        for name, size, scheme, show in SHOTS:
            with browser.tab(size, scheme) as tab:
                show(tab, running)
                screenshot(tab, folder / f"{name}.png")
    return 0


def _map(tab: OpenPage, running: PageLab) -> None:
    """The first host is chosen: its tunnels and networks."""
    tab.open(running.api.url, "#map?kind=host&id=h1")
    tab.wait_complete()
    tab.wait("In sync", "#details")


def _overview(tab: OpenPage, running: PageLab) -> None:
    """Nothing is chosen: problems, of which there are none, and what has happened."""
    tab.open(running.api.url)
    tab.wait_complete()
    tab.wait("Live", "#stream")
    vm = running.lab.vms["web2"]
    vm.unplug()
    tab.wait("port-down", "#details")
    vm.plug(running.lab.hosts["h1"])
    tab.wait("port-active", "#details")
    tab.wait("7 active", "#summary")


def _flows(tab: OpenPage, running: PageLab) -> None:
    """Of the tunnel bridge."""
    tab.open(running.api.url, "#flows?bridge=br-tun")
    tab.wait("flows of br-tun", "#flows-said")


def _trace(tab: OpenPage, running: PageLab) -> None:
    """From a VM of the host to all: a broadcast shows each copy."""
    tab.open(running.api.url, f"#trace?from={running.port('web1')}&to=ff:ff:ff:ff:ff:ff&go=1")
    tab.wait("delivered", "#trace-said")


SHOTS: tuple[tuple[str, tuple[int, int], Literal["light", "dark"], Callable[[OpenPage, PageLab], None]], ...] = (
    ("map", WIDE, "light", _map),
    ("map-dark", WIDE, "dark", _overview),
    ("flows", WIDE, "light", _flows),
    ("trace", WIDE, "light", _trace),
    ("trace-narrow", NARROW, "dark", _trace),
)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
