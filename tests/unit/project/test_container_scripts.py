"""``make test-containers`` where there is no Docker engine, and how it counts frames."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import container_probe
from scripts.container_images import TARGETS
from scripts.docker_engine import Unavailable, engine

ROOT = Path(__file__).parents[3]
SETPRIV = shutil.which("setpriv")


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _test_containers(path: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.test_containers"],
        cwd=ROOT,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_without_an_engine_it_is_never_green(tmp_path: Path) -> None:
    """A status of its own and the reason; on a machine with nothing to install one with."""
    status, output, errors = _test_containers(tmp_path)
    assert (status, output) == (77, "")
    assert errors.startswith("make test-containers: nothing was tested: ") and errors.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs an engine")
def test_an_engine_that_cannot_be_installed_is_named(tmp_path: Path) -> None:
    """Where apt-get fails too."""
    _program(tmp_path / "apt-get", "exit 100")
    status, _, errors = _test_containers(tmp_path)
    assert (status, errors) == (
        77,
        "make test-containers: nothing was tested: docker.io is missing, and apt-get cannot install it\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts an engine")
def test_an_engine_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last that it wrote; nothing of it is left but its log."""
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "docker", "exit 1")
    _program(programs / "docker-compose", "exit 0")
    _program(programs / "dockerd", "echo no control groups here; exit 1")
    assert SETPRIV is not None
    (programs / "setpriv").symlink_to(SETPRIV)
    monkeypatch.setenv("PATH", str(programs))
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(sockets))
    with pytest.raises(Unavailable, match=r"none can be started here: dockerd ended with status 1\nno control groups"):
        engine(tmp_path / "docker").__enter__()
    assert list(sockets.iterdir()) == []


def test_an_engine_that_answers_is_used_and_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the Compose that it has; `docker compose` before `docker-compose`."""
    said = tmp_path / "said"
    _program(tmp_path / "docker", f'echo "$*" >> {said}; echo answer')
    monkeypatch.setenv("PATH", str(tmp_path))
    with engine(tmp_path / "docker.directory") as found:
        assert (found.ours, found.compose) == (False, ("docker", "compose"))
        assert found.docker("ps") == "answer\n"
    assert said.read_text().splitlines() == ["version", "compose version", "ps"]
    assert not (tmp_path / "docker.directory").exists()


def test_lost_frames_are_counted() -> None:
    """Of both ways together; a stream that ended silently has a gap as long as what was lost."""
    one = {"arrived": 990, "duplicated": 0, "gap_ns": 4_000_000, "lost": [[100, 3], [200, 7]]}
    other = {"arrived": 400, "duplicated": 2, "gap_ns": 3_000_000, "lost": [[400, 600]]}
    counted = container_probe._counted({"sent": 1000, "arrivals": [one, other]}, {"eth0 of hypervisor1": 3})
    assert (counted.sent, counted.lost, counted.duplicated, counted.gap) == (2000, 610, 2, 600.0)
    assert str(counted).endswith(
        "610 lost, 2 twice, longest gap 600 ms; dropped by the machine: {'eth0 of hypervisor1': 3}"
    )


def test_the_images_are_those_of_the_compose_file() -> None:
    """Under their names there."""
    compose = (ROOT / "docker-compose.yml").read_text()
    for target, name in TARGETS.items():
        assert f'image: "{name}:${{TUNBRIDGE_TAG:-latest}}"' in compose
        assert f"target: {target}}}" in compose
