"""A server that is stopped accepts nothing any more, on green threads as on native ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from os_ken.lib import hub

from controller.openflow.channel.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from controller.openflow.channel.openflow_server import OpenFlowServer
from controller.openflow.channel.session import Timeouts
from tests.support.waiting import wait_until


def _stops(endpoint: Endpoint, remove: Path | None = None) -> None:
    server = OpenFlowServer([endpoint], Timeouts(20, 20), None)  # type: ignore[arg-type]  # nobody connects
    server.listen()
    listening = server._sockets[endpoint]
    begun, ended = [], []

    def serve() -> None:
        begun.append(True)
        server.serve(endpoint)
        ended.append(True)

    hub.spawn(serve)
    wait_until(lambda: begun or hub.sleep(0.01), 60, "it serves")
    hub.sleep(0.05)  # most likely it is in accept() then, which nothing tells
    if remove is not None:
        os.unlink(remove)
    server.stop()
    wait_until(lambda: ended or hub.sleep(0.01), 60, "it has ended")
    assert listening.fileno() == -1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_tcp(address: str) -> None:
    _stops(TcpEndpoint(address, 0))


def test_unix(tmp_path: Path) -> None:
    _stops(UnixEndpoint(str(tmp_path), "br-int"))


@pytest.mark.skipif(hub.HUB_TYPE != "native", reason="a green thread keeps no process from ending")
def test_unix_whose_name_is_gone(tmp_path: Path) -> None:
    """As where Open vSwitch's run directory was cleared: a native thread in accept() would keep the process alive."""
    _stops(UnixEndpoint(str(tmp_path), "br-int"), tmp_path / "br-int.tunbridge")
