"""A headless Chromium, Debian's, on the page of an API; what it complains of is written down."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.support.waiting import wait_until

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = (1440, 900), (390, 844)
SERIOUS = ("serious", "critical")
PATIENCE = 60_000
"""Milliseconds for what is waited for."""


class NoBrowserError(Exception):
    """There is no Chromium, or nothing that drives it."""


@dataclass
class OpenPage:
    """A tab, and what was said in it.

    :param page: playwright's
    """

    page: Any
    said: list[str] = field(default_factory=list)

    def hear(self, message: Any) -> None:
        """A message of the console; errors and warnings are written down."""
        if message.type in ("error", "warning"):
            self.said.append(f"{message.text} {message.location['url']}")

    @property
    def complaints(self) -> list[str]:
        """All that was said, but that this machine has no controller (503), which the page tells in words."""
        return [one for one in self.said if not re.search(r"status of 503 .*/v2.0/tunbridge/host/status$", one)]

    def heap(self) -> int:
        """Bytes that the scripts have, after a collection of garbage."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        return int(session.send("Runtime.getHeapUsage")["usedSize"])

    def open(self, url: str, view: str = "") -> None:
        """Load the page.

        :param view: what is behind its path, such as ``#flows``
        """
        self.page.goto("about:blank")  # or the same document would stay, with another view
        self.page.goto(f"{url}/page/{view}")

    def wait_complete(self) -> dict[str, float]:
        """Wait until the map shows all that there is: milliseconds from the start to this, and to the first picture."""
        self.wait_for("performance.getEntriesByName('complete').length > 0")
        marks = "Object.fromEntries(performance.getEntriesByType('mark').map((one) => [one.name, one.startTime]))"
        found: dict[str, float] = self.page.evaluate(marks)
        return found

    def wait(self, words: str, where: str = "body") -> None:
        """Wait until an element has a text."""
        self.page.locator(where, has_text=words).first.wait_for(timeout=PATIENCE)

    def wait_for(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true, which the page itself may not evaluate; what it is then."""
        return wait_until(lambda: self.page.evaluate(expression), PATIENCE / 1000, expression)

    def violations(self) -> list[str]:
        """What axe finds serious, each with where."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {json.dumps([node['target'] for node in one['nodes']][:5])}"
            for one in found
            if one["impact"] in SERIOUS
        ]


class Browser:
    """A running Chromium; a context manager."""

    def __enter__(self) -> Browser:
        program = shutil.which("chromium")
        if program is None:
            raise NoBrowserError("there is no chromium: make test-page installs it")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise NoBrowserError("there is no playwright: make test-page installs it") from None
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(
            executable_path=program, headless=True, args=list(FLAGS), timeout=PATIENCE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    @contextmanager
    def tab(
        self,
        size: tuple[int, int] = WIDE,
        scheme: Literal["light", "dark"] = "light",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[OpenPage]:
        """A tab of a new profile, with its own storage."""
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            extra_http_headers=dict(headers or {}),
        )
        context.set_default_timeout(PATIENCE)
        tab = OpenPage(context.new_page())
        tab.page.on("console", tab.hear)
        tab.page.on("pageerror", lambda error: tab.said.append(str(error)))
        try:
            yield tab
        finally:
            context.close()


def screenshot(tab: OpenPage, path: Path) -> None:
    """What can be seen now, as PNG."""
    tab.page.evaluate("document.fonts.ready")
    tab.page.screenshot(path=str(path))
