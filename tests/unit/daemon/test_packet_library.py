"""os-ken's packet library is loaded by who uses it, and is the same then; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import json, sys
from controller.os_ken_apps import packet_library
how = sys.argv[1]
if how != "at once":
    packet_library.defer()
import controller.daemon.osken_app
loaded = [name for name in sys.modules if name.startswith("os_ken.lib.packet.")]
if how == "load":
    packet_library.load()
import os_ken.lib.packet
from os_ken.lib.packet import packet
made = packet.Packet()
made.add_protocol(os_ken.lib.packet.ethernet.ethernet())
made.serialize()
found = {name: protocol.__module__ for name, protocol in packet.PKT_CLS_DICT.items()}
files = [os_ken.lib.packet.__file__, packet.__file__]
print(json.dumps([loaded, found, str(packet.Packet(made.data)), files, hasattr(os_ken.lib.packet, "nothing")]))
"""


def _told(how: str) -> Any:
    environment = {**os.environ, "EVENTLET_NO_GREENDNS": "yes", "OSKEN_HUB_TYPE": "native"}
    program = [sys.executable, "-W", "ignore", "-c", _PROGRAM, how]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", ["defer", "load"])
def test_what_is_deferred_is_the_same(how: str) -> None:
    """Beside names of protocols that have no dependencies nothing of it is loaded before it is used."""
    at_once, deferred = _told("at once"), _told(how)
    assert "os_ken.lib.packet.bgp" in at_once[0]
    assert set(deferred[0]) == {f"os_ken.lib.packet.{name}" for name in ("ether_types", "in_proto", "packet")}
    assert deferred[1:] == at_once[1:]
