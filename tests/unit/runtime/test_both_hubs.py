"""What waits by the hub works on green threads as on native ones: the tests of it, on the other hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from os_ken.lib import hub

HERE = Path(__file__).parent

FILES = [
    *(HERE / name for name in ("test_worker.py", "test_workers.py", "test_inbox.py")),
    HERE.parent / "openflow" / "test_openflow_server.py",
]

RUN = """
import os, sys
if os.environ["OSKEN_HUB_TYPE"] == "eventlet":
    import eventlet
    eventlet.monkey_patch()
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_on_the_other_hub() -> None:
    other = "native" if hub.HUB_TYPE == "eventlet" else "eventlet"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, *map(str, FILES)],
        cwd=HERE.parents[2],
        env=environment | {"OSKEN_HUB_TYPE": other},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
