"""Numbered frames every millisecond between the VMs of two hypervisor containers, both ways, counted where they arrive.

The frames are those of tests.support.lab.probe_process; it enters the VMs' network namespaces, which takes root on the
machine that the engine runs on.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from scripts.processes import ProcessError

_INTERVAL = 1_000_000  # ns
_ANSWER_TIMEOUT = 30.0  # seconds
_FLOW_TIMEOUT = 10.0  # seconds until both streams flow


@dataclass(frozen=True)
class ProbedVm:
    """One end.

    :param name: in messages
    :param pid: of the process that its namespace lasts as long as, on this machine
    :param mac: of its NIC
    """

    name: str
    pid: int
    mac: str


@dataclass(frozen=True)
class Counted:
    """What a probe counted, both ways together.

    :param gap: longest time in milliseconds without a frame of one stream
    """

    sent: int
    lost: int
    duplicated: int
    gap: float

    def __str__(self) -> str:
        return f"{self.sent} frames sent, {self.lost} lost, {self.duplicated} twice, longest gap {self.gap:.0f} ms"


class ContainerProbe:
    """Sends from its start until :meth:`stop`; a context manager, which ends it.

    :raises ProcessError: the VMs are not on this machine
    """

    def __init__(self, one: ProbedVm, other: ProbedVm) -> None:
        self._vms = (one, other)
        self._names = {vm.name: f"tunbridge-{os.getpid()}-{vm.name}" for vm in self._vms}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ContainerProbe:
        try:
            for vm in self._vms:
                _ip("netns", "attach", self._names[vm.name], str(vm.pid))
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def stop(self) -> Counted:
        """Send no more, wait until nothing is under way, and count."""
        return _counted(self._ask("stop"))

    def _start(self) -> None:
        one, other = self._vms
        streams = [
            {
                "namespace": self._names[sender.name],
                "source": sender.mac,
                "destination": receiver.mac,
                "receivers": [receiver.name],
            }
            for sender, receiver in ((one, other), (other, one))
        ]
        spec = {
            "interval_ns": _INTERVAL,
            "token": os.urandom(8).hex(),
            "device": "eth0",
            "receivers": {name: [namespace] for name, namespace in self._names.items()},
            "streams": streams,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lab.probe_process", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self._hear()
        deadline = time.monotonic() + _FLOW_TIMEOUT
        while not all(arrival["arrived"] for arrival in self._ask("snapshot")["arrivals"]):
            if time.monotonic() > deadline:
                raise ProcessError(f"no frame of one VM arrives at the other within {_FLOW_TIMEOUT:g} s")
            time.sleep(0.1)

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()  # which closes its input: it ends
            self._process = None
        for name in self._names.values():
            with contextlib.suppress(ProcessError):
                _ip("netns", "delete", name)

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessError(f"the probe ended with status {self._process.wait(_ANSWER_TIMEOUT)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _counted(answer: dict[str, Any]) -> Counted:
    arrivals = answer["arrivals"]
    sent = int(answer["sent"])
    silence = [frames * _INTERVAL for arrival in arrivals for _, frames in arrival["lost"]]
    return Counted(
        sent=sent * len(arrivals),
        lost=sum(sent - arrival["arrived"] for arrival in arrivals),
        duplicated=sum(arrival["duplicated"] for arrival in arrivals),
        gap=max([arrival["gap_ns"] for arrival in arrivals] + silence) / 1e6,
    )


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise ProcessError(f"ip {' '.join(words)}: {done.stderr.strip()}")
