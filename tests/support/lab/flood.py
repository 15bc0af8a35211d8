"""Frames that hostile guests send all the time, and where each of them arrives.

    with Flood(lab, {("UDP to nobody", guest): frame}) as flood:
        guest.plug(host)
        lab.wait_wired()
        result = flood.stop()
    assert result.arrived() == {}

It goes on whether a device is plugged in or not, so that there is no moment at which nothing is tried. Arrivals are
counted at each VM, in the tunnels and on the physical network: at each end of a cable what comes from the other one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.host.tunbridge import ROOT
from tests.support.lab.frames import Frame
from tests.support.lab.lab import Lab
from tests.support.lab.steadiness import steady
from tests.support.lab.vm import DEVICE, Vm
from tests.support.waiting import wait_until

_ANSWER_TIMEOUT = 60.0  # seconds
_SHORTEST = 60  # bytes of a frame of Ethernet

Kind = tuple[str, Vm]
"""What a frame is, and who sends it."""


@dataclass(frozen=True)
class Spread:
    """Where frames came.

    :param sent: frames, all together
    :param counts: what of whom came, and where, → how often; nothing of what never came
    """

    sent: int
    counts: Mapping[tuple[str, str, str], int]

    def arrived(self, among: Callable[[str], bool] = lambda _what: True) -> dict[str, int]:
        """``what of whom at where`` → how often, of some kinds."""
        return {
            f"{what} of {whose} at {where}": count for (what, whose, where), count in self.counts.items() if among(what)
        }


class Flood:
    """Sends all frames in turn, from its start until :meth:`stop`; a context manager, which ends it.

    :param frames: each is sent with a mark behind its packet, where Ethernet pads
    :param interval: seconds from one frame to the next
    :param watched: VMs at which arrivals are counted; beside them the underlay and the trunk of each host
    """

    def __init__(
        self, lab: Lab, frames: Mapping[Kind, Frame], watched: Iterable[Vm], *, interval: float = 0.0002
    ) -> None:
        self._lab = lab
        self._frames = dict(frames)
        self._watched = list(watched)
        self._interval_ns = int(interval * 1e9)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Flood:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # which closes its input: it ends
            self._process = None

    def start(self) -> None:
        """Start to send; returns when each frame was sent once."""
        for host in self._lab.hosts.values():
            steady(host.ovs.vswitchd_pid)
        spec = {
            "interval_ns": self._interval_ns,
            "token": os.urandom(8).hex(),
            "frames": [
                {
                    "namespace": sender.namespace.name,
                    "device": DEVICE,
                    "data": frame.encode().ljust(_SHORTEST, b"\0").hex(),
                }
                for (_, sender), frame in self._frames.items()
            ],
            "places": [
                *({"name": vm.name, "namespace": vm.namespace.name, "device": DEVICE} for vm in self._watched),
                *(
                    {"name": f"{wire} of {host}", "namespace": self._lab.fabric.name, "device": f"{letter}-{host}"}
                    for host in self._lab.hosts
                    for wire, letter in (("underlay", "u"), ("trunk", "t"))
                ),
            ],
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lab.flood_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(spec) + "\n")  # longer than an argument may be
        self._process.stdin.flush()
        self._hear()
        self.wait_rounds(1)

    def wait_rounds(self, rounds: int = 1) -> Spread:
        """Wait until each frame was sent so many times more; what had arrived by then."""
        target = self.so_far().sent + rounds * len(self._frames)

        def sent() -> Spread | None:
            spread = self.so_far()
            return spread if spread.sent >= target else None

        found = wait_until(sent, 60, f"{rounds} rounds more are sent", interval=0.02)
        assert found is not None
        return found

    def so_far(self) -> Spread:
        """What has arrived until now."""
        return self._ask("snapshot")

    def stop(self) -> Spread:
        """Send no more, wait until nothing is under way, and count."""
        spread = self._ask("stop")
        assert self._process is not None
        process, self._process = self._process, None
        process.communicate(timeout=_ANSWER_TIMEOUT)
        return spread

    def _ask(self, command: str) -> Spread:
        assert self._process is not None, "the flood does not run"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        answer = self._hear()
        assert not answer["overrun"], f"{answer['overrun']} frames were not counted for want of room"
        kinds = list(self._frames)
        return Spread(
            answer["sent"],
            {(kinds[number][0], kinds[number][1].name, place): count for number, place, count in answer["counts"]},
        )

    def _hear(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the flood ended with status {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer
