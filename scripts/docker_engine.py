"""A Docker engine for the tests of the containers: the one that answers, or else one of our own.

Ours has its sockets in a directory of its own and its images in ``.run/docker``, makes no network of the machine's and
no packet filter rule, and ends with us. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.processes import ChildProcess, ProcessError

BASE_IMAGE = "debian:bookworm-slim"
"""What the Dockerfile begins with where nothing else is named."""

_START_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 60.0  # seconds; it ends its containers first
_COMMAND_TIMEOUT = 1800  # seconds; an image may take minutes
_DEBIAN = "bookworm"
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")


class Unavailable(Exception):
    """The containers cannot be tested on this machine; the text says why."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    :param ours: it was started here
    :param compose: the command that Compose is
    :param environment: of commands that talk to it
    """

    ours: bool
    compose: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def run(self, *argv: str, **environment: str) -> str:
        """A command that talks to it: what it wrote to stdout.

        :raises ProcessError: it failed; with all that it wrote
        """
        done = subprocess.run(
            argv,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT,
        )
        if done.returncode:
            words = " ".join(argv)
            raise ProcessError(f"{words}: status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
        return done.stdout

    def docker(self, *argv: str) -> str:
        """``docker``: what it wrote to stdout.

        :raises ProcessError: it failed
        """
        return self.run("docker", *argv)


@contextlib.contextmanager
def engine(directory: Path) -> Iterator[Engine]:
    """The engine that answers, or one of our own for as long as the context lasts.

    :param directory: for the images of our own
    :raises Unavailable: there is none, and none can be started
    """
    if _answers(os.environ):
        yield Engine(False, _compose(), dict(os.environ))
        return
    if os.geteuid():
        raise Unavailable("no Docker engine answers, and only root can start one")
    if not shutil.which("dockerd"):
        install("docker.io")
    compose = _compose()
    sockets = Path(tempfile.mkdtemp(prefix="tunbridge-docker-"))
    environment = {**os.environ, "DOCKER_HOST": f"unix://{sockets}/docker.sock"}
    directory.mkdir(parents=True, exist_ok=True)
    places = [f"--data-root={directory}", f"--exec-root={sockets}/exec", f"--pidfile={sockets}/pid"]
    # Containers of a network reach each other without any of it, and builds use the machine's own network.
    quiet = ["--bridge=none", "--ip-forward=false", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
    daemon = ChildProcess(
        ["dockerd", f"--host={environment['DOCKER_HOST']}", *places, *quiet],
        log=directory / "dockerd.log",
        orphaned=signal.SIGTERM,
    )
    try:
        _wait_for(daemon, environment)
        yield Engine(True, compose, environment)
    finally:
        daemon.stop(timeout=_STOP_TIMEOUT)
        for place in (sockets, directory):
            _unmount(place)
        shutil.rmtree(sockets)


def ensure_base_image(docker: Engine, directory: Path) -> str:
    """Make sure that the engine has :data:`BASE_IMAGE`; how it came there.

    :param directory: where one can be made
    :raises Unavailable: it cannot be pulled, and none can be made
    """
    with contextlib.suppress(ProcessError):
        docker.docker("image", "inspect", BASE_IMAGE)
        return "is there"
    with contextlib.suppress(ProcessError):
        docker.docker("pull", "--quiet", BASE_IMAGE)
        return "pulled"
    if os.geteuid():
        raise Unavailable(f"{BASE_IMAGE} cannot be pulled, and only root can make one by debootstrap")
    if not shutil.which("debootstrap"):
        install("debootstrap")
    root = Path(tempfile.mkdtemp(prefix="debootstrap-", dir=directory))
    try:
        docker.run("debootstrap", "--variant=minbase", _DEBIAN, str(root))
        for name in _SLIM:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        policy = root / "usr" / "sbin" / "policy-rc.d"  # as in Debian's images: packages start no service
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        archive = root.with_suffix(".tar")
        docker.run("tar", "--numeric-owner", "--one-file-system", "-C", str(root), "-cf", str(archive), ".")
        docker.docker("import", str(archive), BASE_IMAGE)
        archive.unlink()
    except ProcessError as error:
        raise Unavailable(f"{BASE_IMAGE} cannot be pulled, and none can be made by debootstrap: {error}") from None
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return "made by debootstrap"


def _unmount(directory: Path) -> None:
    """Take away what an engine leaves mounted below a directory when it ends: network namespaces, and the directory."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed(mounted):  # what is mounted upon another is listed after it
        if Path(place).is_relative_to(directory):
            subprocess.run(["umount", place], stdin=subprocess.DEVNULL, timeout=_STOP_TIMEOUT)


def _compose() -> tuple[str, ...]:
    if _succeeds(["docker", "compose", "version"]):
        return ("docker", "compose")
    if not shutil.which("docker-compose"):
        install("docker-compose")
    return ("docker-compose",)


def install(package: str) -> None:
    """Install a Debian package.

    :raises Unavailable: it cannot be installed
    """
    if os.geteuid() or not shutil.which("apt-get"):
        raise Unavailable(f"{package} is missing, and there is no root or no apt-get to install it")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update = _succeeds(["apt-get", "update", "--quiet"], environment)
    install = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", package]
    if not update or not _succeeds(install, environment):
        raise Unavailable(f"{package} is missing, and apt-get cannot install it")


def _answers(environment: Mapping[str, str]) -> bool:
    return _succeeds(["docker", "version"], environment, timeout=20)


def _succeeds(argv: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 600) -> bool:
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=timeout,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _wait_for(daemon: ChildProcess, environment: Mapping[str, str]) -> None:
    """Wait until our engine answers.

    :raises Unavailable: it does not
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while not _answers(environment):
        try:
            daemon.require_running()
        except ProcessError as error:
            raise Unavailable(f"no Docker engine answers, and none can be started here: {error}") from None
        if time.monotonic() > deadline:
            raise Unavailable(f"dockerd does not answer within {_START_TIMEOUT:g} s\n{daemon.log_tail()}")
        time.sleep(0.2)
