"""Asks ovs-vswitchd at its control socket, as ovs-appctl(8) does.

A request and its answer are one JSON object each, by JSON-RPC 1.0 (ovsdb-server(7) and unixctl.c of Open vSwitch); none
ends with a newline, and the connection stays open.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from controller.runtime.deadline import Deadline
from topology.errors import VSwitchError, VSwitchUnavailable

RUNDIR = Path("/var/run/openvswitch")
"""Where the sockets of Open vSwitch are, unless the connection of its database says otherwise."""

_CHUNK = 65536
_SPACE = 64
"""Bytes at the end of an answer in which a brace would be."""
_TIMEOUT = 10.0
"""Seconds for one question."""


def control_sockets(connection: str) -> list[Path]:
    """Where ovs-vswitchd may answer, the likeliest first.

    :param connection: ``[ovs] ovsdb_connection``; beside a unix socket are those of ovs-vswitchd too
    """
    kind, _, path = connection.partition(":")
    rundir = Path(path).parent if kind == "unix" else RUNDIR
    named = sorted(rundir.glob("ovs-vswitchd.*.ctl"), key=os.path.getmtime, reverse=True)
    return [*named, rundir / "vswitchd.ctl"]


class VSwitchdClient:
    """A control connection; a context manager.

    :param connection: ``[ovs] ovsdb_connection``
    :raises VSwitchUnavailable: on entering it: ovs-vswitchd does not answer, or this user may not ask it
    """

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._socket: socket.socket

    def __enter__(self) -> VSwitchdClient:
        reasons = []
        for path in control_sockets(self._connection):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                Deadline(_TIMEOUT).limit(client).connect(str(path))
            except OSError as error:  # of a process that has died, too
                client.close()
                reasons.append(f"{path}: {error.strerror or error}")
            else:
                self._socket = client
                return self
        raise VSwitchUnavailable(
            f"ovs-vswitchd does not answer ({'; '.join(reasons)}): is it running, and may this user ask it?"
        )

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, command: str, *arguments: str) -> str:
        """What it answers to one command.

        :raises VSwitchError: it refuses it
        :raises VSwitchUnavailable: it does not answer, or not in time
        """
        request = json.dumps({"id": 0, "method": command, "params": arguments}).encode()
        deadline = Deadline(_TIMEOUT)
        try:
            deadline.limit(self._socket).sendall(request)
            answer = self._receive(deadline)
        except TimeoutError:
            raise VSwitchUnavailable(f"ovs-vswitchd did not answer within {_TIMEOUT:g} s") from None
        except OSError as error:
            raise VSwitchUnavailable(f"cannot ask ovs-vswitchd: {error.strerror or error}") from None
        if answer.get("error") is not None:
            raise VSwitchError(f"ovs-vswitchd refuses {command}: {' '.join(str(answer['error']).split())}")
        return str(answer.get("result") or "")

    def _receive(self, deadline: Deadline) -> dict[str, Any]:
        received = bytearray()
        while chunk := deadline.limit(self._socket).recv(_CHUNK):
            received += chunk
            if received[-_SPACE:].rstrip().endswith(b"}"):  # of an answer of megabytes not all is copied for each piece
                try:
                    answer = json.loads(received)
                except ValueError:
                    continue  # a brace of the text in it
                if isinstance(answer, dict):
                    return answer
        raise VSwitchUnavailable("ovs-vswitchd closed the connection without an answer")
