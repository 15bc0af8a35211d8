"""``tunbridge`` whose application for br-tun raises for one port, while a file with the port's MAC address is there.

Started as a program in place of :mod:`controller.cli.commands`; all else is the real one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps import tunnel_bridge
from controller.cli import commands

POISON = "TUNBRIDGE_TEST_POISON"
"""Name of the variable that names the file."""

_whole = tunnel_bridge.port_flows


def _port_flows(port: Any, local: Any) -> Iterator[Any]:
    file = Path(os.environ[POISON])
    if file.exists() and port.mac_address == file.read_text():
        raise ZeroDivisionError("a defect of an application")
    return _whole(port, local)


if __name__ == "__main__":
    tunnel_bridge.port_flows = _port_flows
    commands.main()
