"""Other releases of the controller, as they might have been: copies of its packages with one thing changed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.host.tunbridge import ROOT

PACKAGES = ("apps", "controller", "topology")
"""What a release is a copy of."""
_APPS = ("apps/integration_bridge.py", "apps/tunnel_bridge.py", "apps/physical_bridge.py")


@dataclass(frozen=True)
class Release:
    """What differs from this release.

    :param changes: file, regular expression and what stands there instead
    """

    name: str
    changes: tuple[tuple[str, str, str], ...]

    def make(self, directory: Path) -> Path:
        """Make it in a directory that must not exist yet; that directory.

        :raises AssertionError: a change changes nothing
        """
        for package in PACKAGES:
            # with its bytecode, but for what others write at this moment
            shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("*.pyc.*"))
        for file, pattern, replacement in self.changes:
            path = directory / file
            text, count = re.subn(pattern, replacement, path.read_text())
            assert count, f"{file} has no {pattern}"
            path.write_text(text)
        return directory


RELEASES = (
    Release(
        # whose flows are foreign, then; on physical bridges in the places of ours, since foreign flows stay there
        "another mark and other priorities",
        (
            ("apps/framework/cookie.py", r"OWNER = 0x7B1D", "OWNER = 0x7B1C"),
            ("apps/integration_bridge.py", r"(BridgeRole\.\w+,\s+)(\d+),", r"\1 10\2,"),
            ("apps/tunnel_bridge.py", r"(BridgeRole\.\w+,\s+)(\d+),", r"\1 10\2,"),
        ),
    ),
    Release("other priorities", tuple((app, r"(BridgeRole\.\w+,\s+)(\d+),", r"\1 10\2,") for app in _APPS)),
    Release(
        "other cookies",
        (
            *((app, r"number = (\d)", r"number = 1\1") for app in _APPS),
            ("apps/framework/cookie.py", r"object_id\.encode\(\)", 'b"other" + object_id.encode()'),
        ),
    ),
    Release(
        # 3 and 4 are changed for each other: flows with the match of one and the priority of another
        "priorities of one another",
        (
            ("apps/integration_bridge.py", r"(BridgeRole\.\w+,\s+)3,", r"\1 4,"),
            ("apps/tunnel_bridge.py", r"(BridgeRole\.\w+,\s+)3,", r"\1 99,"),
            ("apps/tunnel_bridge.py", r"(BridgeRole\.\w+,\s+)4,", r"\1 3,"),
            ("apps/tunnel_bridge.py", r"(BridgeRole\.\w+,\s+)99,", r"\1 4,"),
            ("apps/physical_bridge.py", r"(BridgeRole\.\w+,\s+)4,", r"\1 3,"),
        ),
    ),
    Release(
        "fewer keys in rows",
        (("controller/vswitch/tagging.py", r"if network\.segmentation_id is not None:", "if network.name is None:"),),
    ),
)
"""What may change from one release to the next; those that change most come first."""
