"""Programs of Debian's packages, unpacked into the user's cache: nothing is installed, and each is fetched once."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunbridge-bench"
"""Where they are, and all else that a bench fetches."""


class PackagesMissing(Exception):
    """Packages cannot be had; the text says why."""


def unpacked(packages: Sequence[str], into: Path) -> None:
    """Fetch packages and unpack them into one directory, unless it is there.

    :param into: a directory of the cache
    :raises PackagesMissing: they cannot be had
    """
    if into.exists():
        return
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as directory:
        fetched, root = Path(directory, "packages"), Path(directory, "root")
        fetched.mkdir()
        try:
            if failure(["apt-get", "download", *packages], fetched):  # lists that are not there, or too old
                failure(["apt-get", "update"], fetched)
                if said := failure(["apt-get", "download", *packages], fetched):
                    raise PackagesMissing(f"apt-get download {' '.join(packages)}: {said}")
            for package in fetched.glob("*.deb"):
                if said := failure(["dpkg", "-x", str(package), str(root)], fetched):
                    raise PackagesMissing(f"dpkg -x {package.name}: {said}")
        except FileNotFoundError as error:
            raise PackagesMissing(f"no {error.filename} to fetch Debian's packages with") from None
        root.rename(into)


def failure(argv: Sequence[str], directory: Path) -> str:
    """Run a command; what it said where it failed, empty where it did not."""
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True)
    return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""
