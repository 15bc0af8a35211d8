"""The HTTP server of the API with little patience, in front of an application that answers as much as it is asked for.

Started as a program: its argument is the port.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripts.processes import ChildProcess
from tests.support.host.tunbridge import ROOT, free_tcp_port
from tests.support.waiting import wait_until

IDLE, REQUEST, ANSWER = 5.0, 8.0, 5.0
"""Seconds; see :class:`controller.config.http_limits.HttpLimits`."""


@contextmanager
def impatient_server() -> Iterator[int]:
    """Run it.

    :returns: its port
    """
    port = free_tcp_port()
    process = ChildProcess(
        [sys.executable, "-m", "tests.support.http.impatient_server", str(port)],
        name="impatient server",
        cwd=ROOT,
    )
    try:
        wait_until(lambda: _answers(port, process), 30, "the server answers")
        yield port
    finally:
        process.stop()


def _answers(port: int, process: ChildProcess) -> bool:
    process.require_running()
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """``/SIZE``: so many bytes."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"x" * int(environ["PATH_INFO"].strip("/") or 0)]


def _serve(port: int) -> None:
    from controller.config.http_limits import HttpLimits
    from controller.network_api.http.http_server import HttpServer

    limits = HttpLimits(head_timeout=IDLE, idle_timeout=IDLE, request_timeout=REQUEST, answer_timeout=ANSWER)
    server = HttpServer(_application, "127.0.0.1", port, limits=limits)
    server.listen()
    server.serve()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
