"""The console of a VM: a unix socket at which one command line is asked for, and run inside.

So whoever shares the socket's directory can use the VM, as by the serial console of a real one, and needs no privileges
for it: a network namespace is entered by nobody but its own processes.

    python3 -m containers.console /run/vm/console.sock ping -c 3 10.1.1.12

runs a command in the VM, and ends with its status.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import socketserver
import subprocess
import sys
from pathlib import Path

_COMMAND_TIMEOUT = 60.0  # seconds
_ANSWER_TIMEOUT = 75.0  # seconds
_NOT_RUN = 126  # as a shell: the command cannot be run


class ConsoleError(Exception):
    """The VM does not answer."""


class _Handler(socketserver.StreamRequestHandler):
    """One command of one client."""

    def handle(self) -> None:
        status, output = _execute(shlex.split(self.rfile.readline().decode()))
        with contextlib.suppress(OSError):  # whoever asked is gone
            self.wfile.write(json.dumps([status, output]).encode() + b"\n")


class Console(socketserver.ThreadingUnixStreamServer):
    """Serves commands, each in a thread of its own, until the process ends.

    :param path: where to listen; what another one left there is replaced
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)


def _execute(argv: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _NOT_RUN, f"{error}\n"
    return done.returncode, done.stdout


def ask(path: str | os.PathLike[str], *argv: str) -> tuple[int, str]:
    """Run a command in a VM: its exit status, and all that it wrote.

    :param path: of the VM's console
    :raises ConsoleError: the VM does not answer
    """
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_ANSWER_TIMEOUT)
            client.connect(os.fspath(path))
            client.sendall(shlex.join(argv).encode() + b"\n")
            with client.makefile("rb") as answer:
                status, output = json.loads(answer.readline())
    except (OSError, ValueError) as error:
        raise ConsoleError(f"the VM at {os.fspath(path)} does not answer: {error}") from None
    return int(status), str(output)


def main() -> int:
    """Ask as the command line says."""
    try:
        status, output = ask(sys.argv[1], *sys.argv[2:])
    except ConsoleError as error:
        print(error, file=sys.stderr)
        return 1
    print(output, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
