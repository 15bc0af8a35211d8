"""What a controller remembers over a restart, and what it says when it cannot."""

from __future__ import annotations

import json
import logging
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent.restore.restore_guard import SavedState
from controller.agent.restore.state_file import FILE, StateFile, load
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
)

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
    ],
)
def test_a_file_that_cannot_be_used_is_said_and_does_not_keep_the_controller_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """It is as if there were none."""
    path = tmp_path / FILE
    path.write_bytes(content)
    assert load(path) == SavedState()
    assert str(path) in caplog.text and "would not be noticed" in caplog.text
