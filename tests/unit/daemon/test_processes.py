"""No process that we start outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.processes import ChildProcess, ProcessError
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


def _running(pid: int) -> bool:
    """True while the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_stop_gives_the_exit_status(tmp_path: Path) -> None:
    child = ChildProcess(
        ["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"], log=tmp_path / "log"
    )
    wait_until(lambda: "ready" in child.log_tail(), 5, "the shell runs")
    assert child.status is None
    assert child.stop() == 7
    assert child.stop() == 7
    assert not _running(child.pid)


def test_stop_forces_what_does_not_listen(tmp_path: Path) -> None:
    child = ChildProcess(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], log=tmp_path / "log")
    wait_until(lambda: "ready" in child.log_tail(), 5, "the shell runs")
    assert child.stop(timeout=0.2) == -signal.SIGKILL
    assert not _running(child.pid)


def test_the_end_of_a_child_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = ChildProcess(["sh", "-c", "echo the disk is full >&2; exit 3"], log=tmp_path / "log")
    assert child.wait(60) == 3
    with pytest.raises(ProcessError, match=r"^sh ended with status 3\nthe disk is full$"):
        child.require_running()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent(signum: signal.Signals) -> None:
    """The parent is killed, and so has no chance to stop it."""
    program = (
        "import signal, sys, time; from scripts.processes import ChildProcess; "
        f"print(ChildProcess(['sleep', '60'], orphaned=signal.{signum.name}).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", 5, "the child runs")
        finally:
            parent.kill()
    try:
        wait_until(lambda: not _running(pid), 5, f"the child {pid} ends")
    finally:
        if _running(pid):
            os.kill(pid, signal.SIGKILL)
