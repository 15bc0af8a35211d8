"""What a controller remembers over a restart, and what it says when it cannot."""

from __future__ import annotations

import copy
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.framework.local_vlans import NetworkSegment
from controller.agent.restore.restore_guard import SavedState
from controller.agent.restore.state_file import FILE, StateFile, StateFileError, load, load_or_set_aside, save
from tests.support.waiting import wait_until
from topology.model import FixedIp, Host, Network, NetworkType, Port, PortStatus, Subnet
from topology.source import TopologyVersion

SUBNET = Subnet("00000000-0000-4000-8000-0000000000b1", "10.0.0.0/24", "10.0.0.1", "sub")
NET = Network("00000000-0000-4000-8000-0000000000a1", NetworkType.VLAN, 2, "physnet1", "web", True, (SUBNET,))
LOCAL = Network("00000000-0000-4000-8000-0000000000a2", NetworkType.LOCAL)
PORT = Port(
    "00000000-0000-4000-8000-0000000000c1",
    NET.id,
    "fa:16:3e:00:00:01",
    (FixedIp("10.0.0.5", SUBNET.id),),
    "name\n\u00e9",
    "device",
    "owner",
    True,
    "host1",
    "host1",
    PortStatus.ACTIVE,
)
H2 = Host("h2", ("192.0.2.2",), ("gre", "vxlan"), (("physnet1", "br-ex"),), SUBNET.id, "0.1.0")
H3 = Host("h3")
STATE = SavedState(
    TopologyVersion("00000000-0000-4000-8000-0000000000e0", 7),
    {NET.id: NET, LOCAL.id: LOCAL},
    {PORT.id: PORT},
    {NET.id: LOCAL, LOCAL.id: None, PORT.id: PORT},
    {"h2": H2, "h3": H3},
    {"h2": H3, "h3": None},
    {
        1: NetworkSegment(NET.id, NetworkType.VLAN, "physnet1", 2),
        4094: NetworkSegment(LOCAL.id, NetworkType.LOCAL, None, None),
    },
)

WHOLE: dict[str, Any] = json.loads(StateFile(Path(FILE))._encode(STATE))
"""All of it, as it is in the file."""

CHANGES: list[tuple[tuple[str | int, ...], object]] = [
    (("networks", 0, "name"), ["x"]),
    (("networks", 0, "name"), "\ud800"),
    (("networks", 0, "admin_state_up"), 1),
    (("networks", 0, "segmentation_id"), 2.5),
    (("networks", 0, "subnets", 0, "name"), None),
    (("networks", 0, "subnets"), {"a": 1}),
    (("ports", 0, "device_id"), {}),
    (("ports", 0, "host"), 5),
    (("ports", 0, "fixed_ips", 0), "10.0.0.5"),
    (("ports", 0, "fixed_ips", 0, "ip_address"), 167772165),
    (("ports", 0, "status"), []),
    (("hosts", 0, "version"), 1),
    (("hosts", 0, "bridge_mappings", 0, 1), "\udc00\ud800"),
    (("hosts", 0, "bridge_mappings", 0, 1), 1),
    (("hosts", 0, "tunnel_ips"), [3232235777]),
    (("hosts",), 1),
    (("held",), []),
    (("held_hosts", "h2"), [1]),
    (("vlans", "1"), "gre"),
    (("vlans", "1", "segmentation_id"), "2"),
    (("vlans", "x"), WHOLE["vlans"]["1"]),
    (("vlans", "4095"), WHOLE["vlans"]["1"]),
]
"""Where in the whole, and what of another type is put there."""


def whole(keys: tuple[str | int, ...], value: object) -> bytes:
    changed = copy.deepcopy(WHOLE)
    place: Any = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return json.dumps(changed).encode()


REST = b'"held": {}, "hosts": [], "held_hosts": {}}'


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[StateFile]:
    """A running worker."""
    made = StateFile(tmp_path / "state" / FILE)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join()


def test_all_of_it_comes_back(keeper: StateFile, tmp_path: Path) -> None:
    """Each attribute survives; the file is its owner's, and nothing unfinished stays beside it."""
    path = tmp_path / "state" / FILE
    assert load(path) == SavedState()
    keeper.put(STATE)
    wait_until(path.exists, 10, "it is written")
    assert load(path) == STATE
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0
    assert [file.name for file in path.parent.iterdir()] == [FILE]
    json.loads(path.read_text())


def test_an_older_version_and_this_one_read_each_others(tmp_path: Path) -> None:
    """One that knows no MTU of a network, and of no local VLANs."""
    path = tmp_path / FILE
    state = replace(STATE, networks={NET.id: replace(NET, mtu=1400)})
    text = StateFile(path)._encode(state)
    assert "mtu" not in text
    older = json.loads(text)
    del older["vlans"]
    path.write_text(json.dumps(older))
    assert load(path) == replace(state, vlans={})


def test_the_last_word_is_written_when_it_stops(tmp_path: Path) -> None:
    """What was put just before the end is not lost."""
    path = tmp_path / FILE
    keeper = StateFile(path)
    keeper.put(STATE)
    keeper.put(SavedState(STATE.version))
    keeper.stop()
    keeper.run()
    assert load(path) == SavedState(STATE.version)


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(
    keeper: StateFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Here somebody has put a directory in the way; what was to be written is, once that has gone."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "state" / FILE
    path.mkdir(parents=True)
    keeper.put(STATE)
    wait_until(lambda: keeper.problem, 10, "it is said")
    assert f"{path} cannot be written: Is a directory" in str(keeper.problem)
    path.rmdir()
    wait_until(path.exists, 20, "it is tried again")
    wait_until(lambda: keeper.problem is None, 10, "the problem is over")
    assert load(path) == STATE
    assert caplog.text.count("cannot be written") == 1
    assert "is written again" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format": 99, "version": null, "networks": [], "ports": [], ' + REST,
        b'{"format": 1, "version": {"database": "x"}, "networks": [], "ports": [], ' + REST,
        b'{"format": 1, "version": null, "networks": [{"id": "x"}], "ports": [], ' + REST,
        b"[" * 100_000,
        b'{"format": ' + b'{"a": ' * 100_000,
        b"\x00" * 1000,
        b'{"format": 1, "version": {"database": 7, "revision": 7}, "networks": [], "ports": [], ' + REST,
        b'{"format": 1, "version": {"database": "x", "revision": 1e999}, "networks": [], "ports": [], ' + REST,
        b'{"format": 1, "version": {"database": "x", "revision": true}, "networks": [], "ports": [], ' + REST,
        *(whole(*change) for change in CHANGES),
    ],
    ids=lambda content: content[:60].decode(errors="replace"),
)
def test_a_file_that_cannot_be_used_is_said_and_does_not_keep_the_controller_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """It is as if there were none."""
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(StateFileError, match="cannot be read: "):
        load(path)
    assert path.exists(), "reading changes nothing"
    saved, problem = load_or_set_aside(path)
    assert saved == SavedState()
    assert problem is not None and problem in caplog.text
    assert str(path) in problem and "would not be noticed" in problem and len(problem) < 700
    assert not path.exists()
    aside = tmp_path / f"{FILE}.unreadable"
    assert aside.name in problem and aside.read_bytes() == content
    assert load_or_set_aside(path) == (SavedState(), None), "the next start has nothing to say"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "huge"])
def test_what_is_no_file_of_ours_is_set_aside_unread(tmp_path: Path, kind: str) -> None:
    """Nor is a pipe waited for, or a link's target touched."""
    path = tmp_path / "state" / FILE
    path.parent.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps(WHOLE))
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(2**40)  # has no blocks
    saved, problem = load_or_set_aside(path)
    assert saved == SavedState()
    assert problem is not None and f"it is {FILE}.unreadable now" in problem
    assert os.listdir(path.parent) == [f"{FILE}.unreadable"]
    assert json.loads(elsewhere.read_text()) == WHOLE


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nothing_is_written_through_a_link(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("as it was")
    path = tmp_path / "state" / FILE
    path.parent.mkdir()
    link(elsewhere, path.with_name(f"{FILE}.new"))
    with pytest.raises(OSError, match="link"):
        save(path, "new")
    assert elsewhere.read_text() == "as it was" and not path.exists()
