"""Asks the controller of this host over its control socket, with plain sockets.

Apart from the server, so that a command that only asks a question loads neither os-ken nor a hub.

A request is one JSON line, ``{"command": "status", "params": {}}``; the answer is one JSON line, ``{"result": …}`` or
``{"error": "what is wrong"}``; then the server closes.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

from controller.runtime.deadline import Deadline
from topology.errors import TunbridgeError

CHUNK = 65536
"""Bytes that are sent or received at once."""


class ControlError(TunbridgeError):
    """The controller of this host does not answer, or refuses a request."""


class ControlRefusal(ControlError):
    """It answers, and says what is wrong with the request."""


def call(path: str, command: str, timeout: float = 30, **params: Any) -> Any:
    """Ask the controller and return the result.

    :param path: the control socket
    :param timeout: seconds for everything together
    :raises ControlError: nobody answers at ``path``, or not in time, or the answer is an error
    """
    deadline = Deadline(timeout)
    request = json.dumps({"command": command, "params": params}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            deadline.limit(client).connect(path)
            answer = _exchange(client, request, deadline)
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError(
            f"no controller is running on this host ({path} does not answer): start one with `tunbridge run`"
        ) from None
    except TimeoutError:
        raise ControlError(f"the controller at {path} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise ControlError(f"cannot ask the controller at {path}: {error.strerror or error}") from None
    return _result(path, answer)


def _exchange(client: socket.socket, request: bytes, deadline: Deadline) -> bytes:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # a server that refuses a request early has said why before it closed
        deadline.limit(client).sendall(request)
    return receive_line(client, deadline) or b""


def receive_line(client: socket.socket, deadline: Deadline, most: int | None = None) -> bytes | None:
    """One line; None when the peer ends before it does, or when it is longer.

    :param most: bytes, the newline included
    """
    received = bytearray()
    while chunk := deadline.limit(client).recv(CHUNK):
        received += chunk
        if most is not None and len(received) > most:
            return None
        if b"\n" in chunk:
            return bytes(received.partition(b"\n")[0])
    return None


def _result(path: str, answer: bytes) -> Any:
    try:
        message = json.loads(answer)
        if "error" in message:
            raise ControlRefusal(str(message["error"]))
        return message["result"]
    except (ValueError, TypeError, KeyError):
        raise ControlError(f"the controller at {path} closed the connection without an answer: see its log") from None
