"""Open vSwitch's database programs: where they are, and what they say when they refuse."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from topology.errors import TopologyError

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where distributions put ovsdb-server; not in the PATH of every user."""

_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)

_TIMEOUT = 60.0
"""Seconds that a tool may take; 100,000 ports take ovsdb-tool some 2 s."""


def passes(reason: str) -> bool:
    """Whether what keeps a program from working is a state of the machine that ends by itself, or by an operator's
    hand, without any change of ours: no space, no descriptors or memory, a file system that went read-only.
    """
    return any(os.strerror(number) in reason for number in _PASSING)


def find_program(name: str) -> str:
    """Path of a program.

    :raises TopologyError: it is not installed
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    found = shutil.which(name, path=path)
    if found is None:
        raise TopologyError(
            f"{name} is not installed; it is part of Open vSwitch (Debian: apt install openvswitch-common)"
        )
    return found


def ovsdb_tool(command: str, *arguments: str | Path) -> str:
    """Run ``ovsdb-tool``; files that it makes are for their owner alone.

    :returns: what it prints
    :raises TopologyError: with the tool's own message
    """
    argv = [find_program("ovsdb-tool"), "-vconsole:off", "-vsyslog:off", command, *map(str, arguments)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, umask=0o077)
    except subprocess.TimeoutExpired:
        raise TopologyError(f"ovsdb-tool {command} {arguments[0]} takes more than {_TIMEOUT:g} s") from None
    if done.returncode != 0:
        reason = done.stderr.strip().removeprefix("ovsdb-tool: ").splitlines()
        raise TopologyError(reason[0] if reason else f"ovsdb-tool {command} {arguments[0]}: status {done.returncode}")
    return done.stdout.strip()
