"""Numbered frames every millisecond between the VMs of two hypervisor containers, both ways, counted where they arrive.

The frames are those of tests.support.lab.probe_process; it enters the VMs' network namespaces, which takes root on the
machine that the engine runs on. What that machine had no room for before a switch saw it is counted apart, and room is
made first (:mod:`tests.support.lab.steadiness`): a build of an image leaves little time for a switch.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from scripts.processes import ProcessError
from tests.support.lab.steadiness import backlog_dropped, dropped, steady

_INTERVAL = 1_000_000  # ns
_ANSWER_TIMEOUT = 30.0  # seconds
_FLOW_TIMEOUT = 10.0  # seconds until both streams flow


@dataclass(frozen=True)
class ProbedVm:
    """One end.

    :param name: in messages
    :param pid: of the process that its namespace lasts as long as, on this machine
    :param mac: of its NIC
    :param vswitchd: process id of its switch, on this machine
    """

    name: str
    pid: int
    mac: str
    vswitchd: int


@dataclass(frozen=True)
class Counted:
    """What a probe counted, both ways together.

    :param gap: longest time in milliseconds without a frame of one stream
    :param machine: of those that are lost, what the machine had no room for, where → frames
    """

    sent: int
    lost: int
    duplicated: int
    gap: float
    machine: Mapping[str, int]

    def __str__(self) -> str:
        text = f"{self.sent} frames sent, {self.lost} lost, {self.duplicated} twice, longest gap {self.gap:.0f} ms"
        return f"{text}; dropped by the machine: {self.machine}" if self.machine else text


class ContainerProbe:
    """Sends from its start until :meth:`stop`; a context manager, which ends it.

    :raises ProcessError: the VMs are not on this machine
    """

    def __init__(self, one: ProbedVm, other: ProbedVm) -> None:
        self._vms = (one, other)
        self._names = {vm.name: f"tunbridge-{os.getpid()}-{vm.name}" for vm in self._vms}
        self._process: subprocess.Popen[str] | None = None
        self._backlog = 0

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
        answer = self._ask("stop")
        machine = {"backlog": backlog_dropped() - self._backlog}
        for vm in self._vms:
            machine |= {f"{device} of {vm.name}": count for device, count in dropped(vm.vswitchd).items()}
        return _counted(answer, {where: count for where, count in machine.items() if count})

    def _start(self) -> None:
        one, other = self._vms
        for vm in self._vms:
            steady(vm.vswitchd)
        self._backlog = backlog_dropped()
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


def _counted(answer: dict[str, Any], machine: Mapping[str, int]) -> Counted:
    arrivals = answer["arrivals"]
    sent = int(answer["sent"])
    silence = [frames * _INTERVAL for arrival in arrivals for _, frames in arrival["lost"]]
    return Counted(
        sent=sent * len(arrivals),
        lost=sum(sent - arrival["arrived"] for arrival in arrivals),
        duplicated=sum(arrival["duplicated"] for arrival in arrivals),
        gap=max([arrival["gap_ns"] for arrival in arrivals] + silence) / 1e6,
        machine=machine,
    )


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise ProcessError(f"ip {' '.join(words)}: {done.stderr.strip()}")
