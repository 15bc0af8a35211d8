"""``make test-debian``: the tests on another release of Debian, in a tree of its own made by debootstrap.

A run copies the checkout into the tree and says ``make test`` there, as somebody would who has just installed that
release. The tree stays in ``.run/debian/RELEASE``: the next run makes nothing anew but what has changed. Packages
come from where apt and pip of this machine have theirs.

All happens in a mount, a process and a network namespace of the run's own: what is mounted there and whatever the tests
start is gone with it, also when it is killed. Standard library only: it runs before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.docker_engine import Unavailable, install
from scripts.processes import ChildProcess, ProcessError

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / ".run" / "debian"
CHECKOUT = Path("srv/tunbridge")
"""Of the copy, in the tree: where users who are not root can read it, as some tests are."""

EXIT_UNAVAILABLE = 77
"""Nothing was tested, as of ``make test-containers``."""

_PACKAGES = ("ca-certificates", "make", "python3")
"""What README takes for granted beside a bare Debian; all else the make targets install."""
_STAYS = frozenset({".venv", ".mypy_cache", ".ruff_cache", ".hypothesis"})
"""In the copy, from one run to the next."""
_TARGET = "|".join(f"$({field})" for field in ("ORIGIN", "COMPONENT", "CREATED_BY", "RELEASE", "REPO_URI", "SIGNED_BY"))

_INSIDE = """\
mount --rbind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
rm -rf "$1/tmp"
mkdir -m 1777 "$1/tmp"
exec chroot "$1" /bin/sh -euc "$2"
"""
"""In namespaces of its own: make a machine of the tree $1 and run $2 in it."""


@dataclass(frozen=True)
class Source:
    """A line of apt's sources.

    :param suite: as in the line, e.g. ``trixie-security``
    :param keyring: what it is signed by; None: a key that apt trusts for everything
    """

    uri: str
    suite: str
    keyring: str | None

    def line(self) -> str:
        """For a file of sources."""
        signed = f" [signed-by={self.keyring}]" if self.keyring else ""
        return f"deb{signed} {self.uri} {self.suite} main\n"


def main() -> int:
    """Make what is missing and test; the exit status of the command."""
    parser = argparse.ArgumentParser(prog="make test-debian", description=__doc__)
    parser.add_argument("release", help="of Debian, e.g. trixie")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for the trees of releases")
    parser.add_argument("--command", default="make test", help="a line for the shell, in the copy of the checkout")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if os.geteuid():
            raise Unavailable("debootstrap, mounts and network namespaces take root")
        root = (arguments.directory / arguments.release).resolve()
        with _alone(root):
            _ensure_tree(root, arguments.release)
            _copy_checkout(root / CHECKOUT)
            # What is fetched is fetched before the network is gone.
            return _run(root, "make .venv/.installed", network=True) or _run(root, arguments.command, network=False)
    except Unavailable as reason:
        print(f"make test-debian: nothing was tested: {reason}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except (ProcessError, OSError) as error:
        print(f"make test-debian: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Have a tree to ourselves."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"another run uses {root}") from None
        yield


def _ensure_tree(root: Path, release: str) -> None:
    """Make the tree of a release where there is none, and bring its configuration of packages up to date."""
    made = root / "etc" / "tunbridge-tree"
    sources = _our_sources(release)
    if not made.exists():
        shutil.rmtree(root, ignore_errors=True)
        if not shutil.which("debootstrap"):
            install("debootstrap")
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        if sources and sources[0].keyring:
            command.append(f"--keyring={sources[0].keyring}")
        command += [release, str(root), *(source.uri for source in sources[:1])]
        print(f"making {root}", flush=True)
        if _finish(ChildProcess(command, env={**os.environ, **_proxies()})):
            raise Unavailable(f"debootstrap failed; its log may be in {root}/debootstrap")
        policy = root / "usr" / "sbin" / "policy-rc.d"  # packages start no service
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        made.touch()
    _configure(root, sources)


def _configure(root: Path, sources: list[Source]) -> None:
    """Let apt and pip of the tree reach what those of this machine do."""
    for source in sources:
        if source.keyring and not (root / source.keyring[1:]).exists():
            _copy(Path(source.keyring), root)
    if sources:
        (root / "etc/apt/sources.list").write_text("".join(source.line() for source in sources))
    (root / "etc/apt/apt.conf.d/90as-outside").write_text("".join(f"{line}\n" for line in _apt_options()))
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf"):
        _copy(Path(name), root)
    user = Path(f"~{os.environ.get('SUDO_USER', '')}").expanduser()
    for name in (".config/pip/pip.conf", ".pip/pip.conf"):
        if (user / name).exists():
            (root / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(user / name, root / "root" / name)
    own = Path("/usr/local/share/ca-certificates")
    if own.is_dir():
        shutil.copytree(own, root / own.relative_to("/"), dirs_exist_ok=True)


def _copy_checkout(target: Path) -> None:
    """Lay the checkout into the tree; the virtual environment of the last run stays."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        if old.name not in _STAYS:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    ignored = shutil.ignore_patterns(
        "__pycache__", "*.egg-info", *(_STAYS | {".git", ".run", ".pytest_cache", "build"})
    )
    shutil.copytree(ROOT, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)


def _run(root: Path, command: str, *, network: bool) -> int:
    """Run a line of the shell in the copy; its exit status.

    :param network: with that of this machine; else there is loopback alone
    """
    namespaces = ["--mount", "--pid", *([] if network else ["--net"])]
    lines = ["update-ca-certificates >/dev/null 2>&1"] if network else ["ip link set lo up"]
    lines += [f"cd /{CHECKOUT}", command]
    environment = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key in ("CI", "TERM")}
    environment |= {**_proxies(), "HOME": "/root", "LC_ALL": "C.UTF-8"}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    print(f"on {root.name}: {command}", flush=True)
    inside = ["/bin/sh", "-euc", _INSIDE, "sh", str(root), "\n".join(lines)]
    return _finish(ChildProcess(["unshare", *namespaces, "--fork", "--kill-child", *inside], env=environment))


def _finish(process: ChildProcess) -> int:
    """Wait for a process; its exit status. It ends with us, and with it all in its namespaces."""
    try:
        return process.wait()
    finally:
        process.stop(signal.SIGKILL)


def sources_like(targets: str, ours: str, release: str) -> list[Source]:
    """Where another release of Debian is to be had: where ours is from, by the same names.

    :param targets: what ``apt-get indextargets`` says of :data:`_TARGET`
    :param ours: the release of this machine, e.g. ``bookworm``
    :returns: the first one is for the release itself; none: this machine has none of Debian
    """
    sources = []
    for line in targets.splitlines():
        origin, component, kind, suite, uri, keyring = line.split("|")
        base, hyphen, more = suite.partition("-")
        if (origin, component, kind, base) == ("Debian", "main", "Packages", ours):
            sources.append(Source(uri, f"{release}{hyphen}{more}", keyring if keyring.startswith("/") else None))
    return sorted(sources, key=lambda source: source.suite)


def _our_sources(release: str) -> list[Source]:
    """As :func:`sources_like`, of this machine."""
    ours = re.search(r"(?m)^VERSION_CODENAME=\"?(\w+)", Path("/etc/os-release").read_text())
    return sources_like(_output("apt-get", "indextargets", "--format", _TARGET), ours[1], release) if ours else []


def _apt_options() -> list[str]:
    """How apt of this machine fetches: proxies, checks, times."""
    wanted = re.compile(r"Acquire::(?!IndexTargets|Changelogs|CompressionTypes|Languages|cdrom)[^ ]+ \"[^\"]+\";")
    return [line for line in _output("apt-config", "dump").splitlines() if wanted.fullmatch(line)]


def _proxies() -> dict[str, str]:
    """The environment by which debootstrap, apt and pip find the proxies of apt."""
    words = re.findall(r"(?m)^Acquire::(https?)::Proxy \"([^\"]+)\";$", _output("apt-config", "dump"))
    return {f"{scheme}_proxy": value for scheme, value in words}


def _copy(file: Path, root: Path) -> None:
    """Copy a file of this machine to the same place in the tree; nothing where there is none."""
    if file.exists():
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(file, target)


def _output(*argv: str) -> str:
    """What a command writes; empty where it is missing or fails."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
