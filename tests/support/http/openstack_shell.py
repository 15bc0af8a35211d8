"""A process that runs ``openstack`` commands as they come, whatever becomes of the one before."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.host.tunbridge import ROOT
from tests.support.http.openstack import Openstack


@dataclass(frozen=True)
class Outcome:
    """What became of one command."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """What it answered with ``-f json``."""
        assert self.status == 0, self.errors
        return json.loads(self.output)


class OpenstackShell:
    """The commands against one API; as a context manager, which ends the process."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.http.openstack_process"],
            cwd=ROOT,
            env={**Openstack(url).environment(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> OpenstackShell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def each(self, *commands: str) -> list[Outcome]:
        """What becomes of each command."""
        return [self._run(command) for command in commands]

    def _run(self, command: str) -> Outcome:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(shlex.split(command)) + "\n")
        self._process.stdin.flush()
        return Outcome(*json.loads(self._process.stdout.readline()))
