"""Open vSwitch's database programs: where they are, and what they say when they refuse."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from topology.errors import TopologyError
from topology.ovsdb.server_names import with_addresses
from topology.ovsdb.tls import TlsFiles

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where distributions put ovsdb-server; not in the PATH of every user."""

_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)

_TIMEOUT = 60.0
"""Seconds that a tool may take; 100,000 ports take ovsdb-tool some 2 s."""


class _NoAnswerError(TopologyError):
    """A program was told to end after some time, and did."""


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
    return _run("ovsdb-tool", command, arguments)


def ovsdb_client(
    command: str,
    connection: str,
    *arguments: str | Path,
    tls: TlsFiles | None = None,
    leader_only: bool = True,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> str:
    """Run ``ovsdb-client``.

    :param connection: OVSDB connection methods, comma-separated
    :param tls: certificates, where one is TLS
    :param leader_only: of a cluster, the leader alone is asked; otherwise whoever answers
    :param stdin: what it reads; None: nothing
    :param stdout: where what it prints goes; None: it is returned
    :raises TopologyError: with the program's own message
    """
    options = [f"--timeout={_TIMEOUT:g}", *([] if leader_only else ["--no-leader-only"])]
    if tls is not None:
        options += [f"--private-key={tls.key}", f"--certificate={tls.certificate}", f"--ca-cert={tls.ca_cert}"]
    try:
        return _run("ovsdb-client", command, (with_addresses(connection), *arguments), options, stdin, stdout)
    except _NoAnswerError:
        named = (
            "" if "," in connection or not leader_only else ": of a cluster, name all members, since one of them leads"
        )
        raise TopologyError(f"{connection} does not answer within {_TIMEOUT:g} s{named}") from None


def server_command(control: Path, command: str, *arguments: str, timeout: float = 5.0) -> str:
    """Have a running ovsdb-server do something, by its control socket (ovs-appctl(8)).

    :param control: path of the socket
    :param timeout: seconds
    :raises TopologyError: with the server's own message
    """
    return _run("ovs-appctl", command, arguments, (f"--target={control}", f"--timeout={timeout:g}"))


def _in_words(reason: str) -> str:
    """What a program says, without the JSON that some say a server's error in (RFC 7047 §3.1)."""
    said, bracket, rest = reason.partition("{")
    try:
        error = json.loads(bracket + rest)
        return f"{said}{error.get('details') or error['error']}"
    except (ValueError, KeyError):
        return reason


def _run(
    program: str,
    command: str,
    arguments: Sequence[str | Path],
    options: Sequence[str] = (),
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> str:
    argv = [find_program(program), "-vconsole:off", "-vsyslog:off", *options, command, *map(str, arguments)]
    what = " ".join([program, command, *map(str, arguments[:1])])
    try:
        done = subprocess.run(
            argv,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise TopologyError(f"{what} takes more than {_TIMEOUT:g} s") from None
    if done.returncode == -signal.SIGALRM:
        raise _NoAnswerError(f"{what}: no answer in time")
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().removeprefix(f"{program}: ").splitlines()
        raise TopologyError(_in_words(reason[0]) if reason else f"{what}: status {done.returncode}")
    return (done.stdout or b"").decode(errors="replace").strip()
