"""TCP between two VMs, through the kernels of both."""

from __future__ import annotations

import hashlib
import os
import socket
import threading

from tests.support.lab.vm import Vm

_TIMEOUT = 30.0  # seconds
_CHUNK = 64 * 1024  # bytes


def transfer(source: Vm, sink: Vm, mebibytes: int, version: int = 4) -> None:
    """Send random bytes over one TCP connection.

    :param version: of IP
    :raises AssertionError: other bytes arrived than were sent
    :raises OSError: the connection was not made, or ended
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    block = os.urandom(1024 * 1024)
    sent, arrived = hashlib.sha256(), hashlib.sha256()
    with sink.namespace.inside(), socket.create_server(("", 0), family=family) as listener:
        listener.settimeout(_TIMEOUT)
        receiver = threading.Thread(target=_receive, args=(listener, arrived))
        receiver.start()
        try:
            with source.namespace.inside(), socket.socket(family) as connection:
                connection.settimeout(_TIMEOUT)
                connection.connect((sink.nic.address(version), listener.getsockname()[1]))
                for _ in range(mebibytes):
                    connection.sendall(block)
                    sent.update(block)
        finally:
            receiver.join()
    same = arrived.digest() == sent.digest()
    assert same, f"{mebibytes} MiB of TCP from {source.name} to {sink.name} did not arrive as they were sent"


def _receive(listener: socket.socket, digest: hashlib._Hash) -> None:
    """Take one connection to its end; a failure shows in the digest."""
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_TIMEOUT)
            while data := connection.recv(_CHUNK):
                digest.update(data)
    except OSError:
        digest.update(b"broken off")
