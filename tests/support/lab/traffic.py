"""TCP between two VMs, through the kernels of both: what arrives, and how a program that people know fares."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading

from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

_TIMEOUT = 60.0  # seconds
_CHUNK = 64 * 1024  # bytes


def iperf(client: Vm, server: Vm, mebibytes: int, version: int = 4, *, reverse: bool = False) -> int:
    """Run iperf3(1) between two VMs.

    :param mebibytes: to be sent
    :param version: of IP
    :param reverse: from the server to the client
    :returns: bytes that arrived
    :raises AssertionError: iperf3 says that it failed
    """
    address = server.nic.address(version)
    listen = ["iperf3", "--server", "--one-off", "--bind", address, "--forceflush"]
    with server.namespace.inside():
        serving = subprocess.Popen(listen, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _listens(server), _TIMEOUT, f"iperf3 listens on {server.name}")
        with client.namespace.inside():
            command = ["iperf3", "--client", address, "--bytes", f"{mebibytes}M", "--json"]
            command += ["--reverse"] if reverse else []
            result = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
        report = json.loads(result.stdout)
        assert result.returncode == 0 and "error" not in report, f"{client.name} to {server.name}: {result.stdout!r}"
        return int(report["end"]["sum_received"]["bytes"])
    finally:
        serving.terminate()
        serving.communicate(timeout=_TIMEOUT)


def _listens(vm: Vm) -> bool:
    return ":5201 " in vm.namespace.run("ss", "--tcp", "--listening", "--numeric", "--no-header")


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
