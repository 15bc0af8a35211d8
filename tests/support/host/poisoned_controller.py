"""``tunbridge`` whose application for br-tun raises for one port, while a file with the port's MAC address is there.

Started as a program in place of :mod:`controller.cli.commands`; all else is the real one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from apps.framework.app import Placed, Unit, UnitKind
from apps.framework.host_view import HostView
from apps.tunnel_bridge import TunnelBridge
from controller.cli import commands

POISON = "TUNBRIDGE_TEST_POISON"
"""Name of the variable that names the file."""

_whole = TunnelBridge.flows


def _flows(self: TunnelBridge, unit: Unit, view: HostView) -> Iterable[Placed]:
    file = Path(os.environ[POISON])
    if unit.kind is UnitKind.PORT and file.exists() and view.ports[unit.id].mac_address == file.read_text():
        raise ZeroDivisionError("a defect of an application")
    return _whole(self, unit, view)


if __name__ == "__main__":
    TunnelBridge.flows = _flows  # type: ignore[method-assign]
    commands.main()
