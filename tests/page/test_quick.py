"""The page on some rows of a topology: search, keys, accessibility, tokens, how fresh it is; a silent console."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.http.tokens import ANN, BOSS, write_tokens
from tests.support.page.browser import NARROW, WIDE, Browser, OpenPage
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

Small = tuple[ApiProcess, OvsdbServer]
VIEWS = ("#map", "#map?kind=host&id=host1", "#flows", "#trace", "#events")


@pytest.fixture
def tab(small: Small, browser: Browser) -> Iterator[OpenPage]:
    with browser.tab() as opened:
        opened.open(small[0].url)
        opened.wait_complete()
        yield opened
        assert opened.complaints == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(small: Small, browser: Browser, size: tuple[int, int], scheme: str) -> None:
    """In any view; nothing is wider than the window, and nothing complains."""
    with browser.tab(size, scheme) as tab:
        for view in VIEWS:
            tab.open(small[0].url, view)
            tab.wait_for("document.querySelector('#stream').dataset.state !== 'connecting'")
            if view.startswith("#map"):
                tab.wait_complete()
            assert tab.violations() == [], view
            assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert tab.complaints == []


def test_everything_is_there(tab: OpenPage) -> None:
    """Counts, tiles with the state of their host, cells of ports by state, networks."""
    assert tab.page.inner_text("#summary") == "4 hosts, 3 networks, 20 ports: 20 active"
    assert tab.page.locator(".tile").count() == 4
    assert tab.page.get_by_role("button", name="Host host1, alive, 5 ports").count() == 1
    assert tab.page.get_by_role("button", name="Network net1, gre 1, 7 ports").count() == 1
    assert tab.page.locator("#found").inner_text() == "27 objects"


def test_search_and_choice_by_keys(tab: OpenPage) -> None:
    """``/``, words, arrows, Enter: the port, its network and host; Esc goes back. The address has what is chosen."""
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("host2 net1")
    tab.wait("1 match", "#found")
    names = tab.page.locator("#results [role=option] .title").all_inner_texts()
    assert names == ["vm10"], "ports 2, 6, 10, 14 and 18 are on host2, of which each third is on net1"
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    tab.wait("vm10", "#details h2")
    assert "kind=port" in tab.page.url
    details = tab.page.inner_text("#details")
    assert "net1" in details and "host2" in details and "ACTIVE" in details
    assert tab.page.locator(".marked").count() == 1
    tab.page.keyboard.press("Escape")
    tab.wait("No problems", "#details h2")
    assert tab.page.url.endswith("#map")


def test_tiles_by_keys(tab: OpenPage) -> None:
    """One stop of Tab for the hosts; arrows go on, Enter chooses; links of the details lead further."""
    tab.page.locator(".tile[tabindex='0']").focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("Enter")
    tab.wait("host2", "#details h2")
    assert tab.page.locator(".tile[aria-pressed=true]").get_attribute("data-id") == "host2"
    tab.page.locator("#details").get_by_role("button", name="net1").click()
    tab.wait("net1", "#details h2")
    assert tab.page.locator(".wire").count() == 4


def test_a_cell_is_a_port(tab: OpenPage) -> None:
    """A click on it chooses the port."""
    box = tab.page.locator(".tile[data-id=host3]").bounding_box()
    assert box is not None
    tab.page.mouse.click(box["x"] + 14, box["y"] + 50)
    tab.wait("active", "#details h2")
    assert tab.page.inner_text("#details .kind") == "port"


def test_changes_are_seen(small: Small, tab: OpenPage) -> None:
    """A new port of a new network comes, a name changes, and both go, without the page being opened again."""
    api, _ = small
    network = api.create("network", name="fresh")
    port = api.create("port", network_id=network["id"], name="newcomer")
    tab.wait("4 networks, 21 ports", "#summary")
    tab.page.fill("#search", "newcomer")
    tab.wait("newcomer", "#results")
    api.update("port", port["id"], name="renamed")
    tab.page.fill("#search", "renamed")
    tab.wait("renamed", "#results")
    api.delete("port", port["id"])
    api.delete("network", network["id"])
    tab.wait("3 networks, 20 ports", "#summary")


def test_the_stream_is_read_as_it_is_written(tab: OpenPage) -> None:
    """In whatever pieces it comes: comments, an id alone, lines of data, all three ends of lines."""
    text = ": hello\n\nid: 1\n\nid: 2\r\nevent: port-bound\r\ndata: {\r\ndata:}\r\n\r\n"
    text += "retry: 5\ndata: x\n\ndata: unfinished"
    script = """async ([text, step]) => {
        const { parser } = await import("./stream.js");
        const [told, ids] = [[], []];
        const feed = parser((message) => told.push(message), (id) => ids.push(id));
        for (let at = 0; at < text.length; at += step) feed(text.slice(at, at + step));
        return [told, ids];
    }"""
    expected = [[{"id": "2", "event": "port-bound", "data": "{\n}"}, {"event": "message", "data": "x"}], ["1", "2"]]
    for step in (1, 2, 3, 7, 1000):
        assert tab.page.evaluate(script, [text, step]) == expected, step


def test_a_stream_that_is_stale(small: Small, browser: Browser) -> None:
    """A process that stands still sends nothing: that is said with since when, and no more when it goes on."""
    api, _ = small
    with browser.tab() as tab:
        tab.page.clock.install()
        tab.open(api.url)
        tab.wait("Live", "#stream")
        os.kill(api.pid, signal.SIGSTOP)
        try:
            tab.page.clock.fast_forward(40_000)
            tab.wait("Stale", "#stream")
            tab.wait("The stream of events is stale", "#banner")
            assert tab.page.get_attribute("#stream", "data-state") == "stale"
            assert tab.violations() == []
        finally:
            os.kill(api.pid, signal.SIGCONT)
        tab.page.clock.resume()
        tab.wait("Live", "#stream")
        wait_until(lambda: tab.page.is_hidden("#banner"), 60, "nothing is said to be old")


def test_a_stream_that_is_lost(browser: Browser) -> None:
    """A process that ends: that is said, and tried again until there is one; what happened meanwhile is shown."""
    with OvsdbServer() as database, browser.tab() as tab:
        database.start()
        with ApiProcess(database.connection, options={"api": {"page": "true"}}) as api:
            port = api.port
            tab.open(api.url)
            tab.wait("Live", "#stream")
        tab.wait("Lost", "#stream")
        tab.wait("The stream of events is lost", "#banner")
        options = {"api": {"page": "true", "listen_port": port}}
        again = ApiProcess(database.connection, options=options)
        again.port = port
        with again:
            again.create("network", name="meanwhile")
            tab.wait("Live", "#stream")
            tab.wait("1 network,", "#summary")


def test_a_token_is_asked_for(database_with_tokens: ApiProcess, browser: Browser) -> None:
    """A wrong one is said to be; the right one stays in the tab, and is in no address, cookie or lasting store."""
    with browser.tab() as tab:
        tab.open(database_with_tokens.url)
        tab.wait("Who are you?", "dialog")
        assert tab.violations() == []
        tab.page.fill("#token", "nobody-knows-this-one")
        tab.page.keyboard.press("Enter")
        tab.wait("That token is not known", "#sign-in-said")
        tab.page.fill("#token", BOSS)
        tab.page.keyboard.press("Enter")
        tab.wait("0 ports", "#summary")
        assert tab.page.is_hidden("#sign-in")
        assert BOSS not in tab.page.url and BOSS not in tab.page.content()
        stores = "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        assert tab.page.evaluate(stores) == [[BOSS], [], ""]
        tab.page.reload()
        tab.wait("0 ports", "#summary")


def test_who_is_no_administrator(database_with_tokens: ApiProcess, browser: Browser) -> None:
    """Sees what the API shows him, and why there is no more."""
    with browser.tab() as tab:
        tab.open(database_with_tokens.url)
        tab.page.fill("#token", ANN)
        tab.page.keyboard.press("Enter")
        tab.wait("for administrators", "#local")
        tab.wait("No events", "#stream")


@pytest.fixture(scope="module")
def database_with_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """An API that asks for tokens."""
    tokens: Path = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.yaml")
    options = {"api": {"page": "true", "auth_strategy": "token", "token_file": tokens}}
    with OvsdbServer() as database:
        database.start()
        with ApiProcess(database.connection, options=options) as api:
            yield api
