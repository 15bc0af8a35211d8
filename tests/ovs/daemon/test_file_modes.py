"""Who may open what a controller makes: its own user, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.host.tunbridge import Tunbridge

pytestmark = pytest.mark.one_hub

DOCUMENT = {"networks": [{"name": "net1"}]}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Children that are started meanwhile have this umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    """Permission bits of a directory and of all in it, by path from there."""
    paths = [directory, *sorted(directory.rglob("*"))]
    return {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


@pytest.mark.parametrize("mask", [0, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def test_all_is_private(tunbridge: Callable[..., Tunbridge], mask: int) -> None:
    """Directories 0700, sockets and files 0600; the log, which whoever reads logs may read, at most 0640."""
    with umask(mask):
        controller = tunbridge(ready=False)
        log = controller.directory / "logs" / "own.log"
        log.parent.mkdir(mode=0o755)
        controller.stop()
        text = controller.config_file.read_text()
        controller.config_file.write_text(text.replace("[DEFAULT]", f"[DEFAULT]\nlog_file = {log}"))
        controller.start()
        controller.wait_in_sync()
    controller.apply(DOCUMENT)
    sockets = {"control.sock", "topology.sock", "topology.ctl"}
    assert modes(controller.run_path) == dict.fromkeys(
        [*sockets, "control.sock.lock", "topology.log"], 0o600
    ) | {".": 0o700}  # fmt: skip
    state = modes(controller.directory / "state")
    assert {"topology.db", "topology.lock", "topology.pid"} < state.keys()
    assert state == dict.fromkeys(state, 0o600) | {".": 0o700}
    assert stat.S_IMODE(log.stat().st_mode) == 0o640 & ~mask
