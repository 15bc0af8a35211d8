"""Parts of os-ken that nobody uses are not loaded, and are the same for who does; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

_PROGRAM = """
import json, sys
from controller.os_ken_apps import unused_parts
if sys.argv[1] == "deferred":
    unused_parts.defer()
import controller.daemon.osken_app
loaded = [name for name in sys.modules if name.startswith("os_ken.lib.packet.")]
import os_ken.lib.packet
from os_ken.controller import ofp_event
from os_ken.lib.packet import packet
from os_ken.ofproto import get_ofp_modules
made = packet.Packet()
made.add_protocol(os_ken.lib.packet.ethernet.ethernet())
made.serialize()
parsers = {version: parser for version, (_, parser) in get_ofp_modules().items()}
same = [
    str(packet.Packet(made.data)),
    {name: protocol.__module__ for name, protocol in packet.PKT_CLS_DICT.items()},
    [os_ken.lib.packet.__file__, packet.__file__, *(parser.__file__ for parser in parsers.values())],
    [parser.OFPHello.__module__ for parser in parsers.values()],
    [hasattr(module, "nothing") for module in (os_ken.lib.packet, packet, *parsers.values())],
    sorted({name for parser in parsers.values() for name in vars(parser) if not name.startswith("_")}),
    [f"EventOFP{name}" for name in ("PacketIn", "PortStatus", "Hello") if hasattr(ofp_event, f"EventOFP{name}")],
]
print(json.dumps([loaded, same]))
"""


def _told(how: str) -> Any:
    environment = {**os.environ, "EVENTLET_NO_GREENDNS": "yes", "OSKEN_HUB_TYPE": "native"}
    program = [sys.executable, "-W", "ignore", "-c", _PROGRAM, how]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_what_is_deferred_is_the_same() -> None:
    """Of the packet library the names of protocols alone are loaded, which have no dependencies."""
    (everything, at_once), (loaded, deferred) = _told("at once"), _told("deferred")
    assert "os_ken.lib.packet.bgp" in everything
    assert set(loaded) == {f"os_ken.lib.packet.{name}" for name in ("ether_types", "in_proto", "packet")}
    assert deferred == at_once


_THREADS = """
import threading
from controller.os_ken_apps import unused_parts
unused_parts.defer()
from os_ken.lib.packet import packet
together, found = threading.Barrier(4), []
def ask():
    together.wait()
    found.append(packet.Packet)
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found))
"""


def test_threads_that_ask_at_once_all_get_what_they_ask_for() -> None:
    """A module is there for one thread while another one still loads it."""
    environment = {**os.environ, "EVENTLET_NO_GREENDNS": "yes", "OSKEN_HUB_TYPE": "native"}
    program = [sys.executable, "-W", "ignore", "-c", _THREADS]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "4\n", done.stderr
