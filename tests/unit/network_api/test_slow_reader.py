"""A peer that takes a message so slowly that each part of it is in time, and the whole is not; on both hubs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.host.tunbridge import HUBS

PROGRAM = """
import os
if os.environ["OSKEN_HUB_TYPE"] == "eventlet":
    import eventlet
    eventlet.monkey_patch()
import socket
from os_ken.lib import hub
from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.session import Session, Timeouts
from topology.errors import OpenFlowError

ours, theirs = socket.socketpair()
session = Session(Arrival(ours, "peer"), Timeouts(5, 1), None)

def read():
    while theirs.recv(65536):
        hub.sleep(0.2)

hub.spawn(read)
try:
    session.commit([lambda xid: bytes(8) * 8000] * 100)
except OpenFlowError as error:
    print(error)
"""


@pytest.mark.parametrize("hub", HUBS)
def test_the_time_to_send_is_that_of_the_whole(hub: str) -> None:
    """It is let go after the time of one request, however many parts it has taken by then."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OSKEN_HUB_TYPE": hub},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "sending to peer failed: timed out" in done.stdout, done.stderr
