"""Numbered frames every millisecond between VMs, counted on both sides while something goes wrong.

    with Probe(lab, full_mesh([a, b, c])) as probe:
        controller.kill9()
        controller.start()
        controller.wait_in_sync()
        result = probe.stop()
    assert result.lost == 0, result.table()

What is lost is told with the time at which it was sent, so that it can be laid beside what happened then. Frames that
the machine lost before a switch saw them are counted apart (:mod:`tests.support.lab.steadiness`).
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.host.tunbridge import ROOT
from tests.support.lab.frames import BROADCAST
from tests.support.lab.lab import Lab
from tests.support.lab.packets import UDP, ipv4
from tests.support.lab.probe_process import HEADER
from tests.support.lab.steadiness import backlog_dropped, dropped, steady
from tests.support.lab.vm import DEVICE, Vm
from tests.support.waiting import wait_until

_ANSWER_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Stream:
    """Frames of one kind from one VM.

    :param receivers: who shall get each of them, once
    :param broadcast: to everybody; otherwise to the only receiver
    :param port: they are of UDP over IPv4, from this port and to it; None: of an ethertype for experiments
    :param is_forbidden: none may arrive
    """

    sender: Vm
    receivers: tuple[Vm, ...]
    broadcast: bool = False
    port: int | None = None
    is_forbidden: bool = False

    @property
    def header(self) -> bytes:
        """What is between the ethertype and the probe's own."""
        if self.port is None:
            return b""
        source, destination = (vm.nic.address() for vm in (self.sender, self.receivers[0]))
        udp = struct.pack("!HHHH", self.port, self.port, 8 + HEADER.size, 0)  # without a checksum
        return ipv4(source, destination, UDP, udp + bytes(HEADER.size))[: -HEADER.size]

    def __str__(self) -> str:
        target = "broadcast" if self.broadcast else self.receivers[0].name
        return f"{self.sender.name} > {target}"


def full_mesh(vms: Sequence[Vm]) -> list[Stream]:
    """Unicast from each VM to each other one, and one broadcast stream from each. They are of one network."""
    pairs = [Stream(one, (other,)) for one in vms for other in vms if one is not other]
    floods = [Stream(one, tuple(other for other in vms if other is not one), broadcast=True) for one in vms]
    return pairs + floods


@dataclass(frozen=True)
class Loss:
    """Frames that are missing in a row.

    :param at: when the first of them was due to be sent, in seconds of time.monotonic()
    :param frames: how many
    """

    at: float
    frames: int


@dataclass(frozen=True)
class Arrival:
    """What one VM got of one stream.

    :param lost: frames that never came
    :param duplicated: copies too many
    :param reordered: frames that came after one that was sent later
    :param longest_gap: longest time without a frame, in milliseconds; 1 is as good as it gets
    :param losses: where the lost ones are
    """

    stream: Stream
    receiver: str
    sent: int
    lost: int
    duplicated: int
    reordered: int
    longest_gap: float
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Result:
    """What a probe counted.

    :param sent: frames of each stream
    :param machine: what the machine dropped outside of any switch: where → frames
    :param sender_pause: longest time in milliseconds for which the sender itself was kept from sending
    """

    sent: int
    arrivals: tuple[Arrival, ...]
    machine: dict[str, int]
    sender_pause: float

    @property
    def allowed(self) -> tuple[Arrival, ...]:
        """What shall arrive."""
        return tuple(arrival for arrival in self.arrivals if not arrival.stream.is_forbidden)

    @property
    def lost(self) -> int:
        """Frames lost, of all streams and receivers."""
        return sum(arrival.lost for arrival in self.allowed)

    @property
    def passed(self) -> int:
        """Forbidden frames that arrived."""
        return sum(arrival.sent - arrival.lost for arrival in self.arrivals if arrival.stream.is_forbidden)

    @property
    def duplicated(self) -> int:
        """Copies too many, of all streams and receivers."""
        return sum(arrival.duplicated for arrival in self.arrivals)

    @property
    def expected(self) -> int:
        """Frames that should have arrived, of all streams and receivers."""
        return self.sent * len(self.allowed)

    @property
    def longest_gap(self) -> float:
        """Longest time without a frame of any one stream, in milliseconds."""
        return max(arrival.longest_gap for arrival in self.allowed)

    def table(self) -> str:
        """All of it, for people."""
        lines = [f"{'stream':<24} {'at':<8} {'sent':>7} {'lost':>6} {'twice':>6} {'late':>6} {'gap ms':>8}"]
        for one in self.arrivals:
            lines.append(
                f"{one.stream!s:<24} {one.receiver:<8} {one.sent:>7} {one.lost:>6} {one.duplicated:>6} "
                f"{one.reordered:>6} {one.longest_gap:>8.1f}"
            )
            lines += [f"    {loss.frames} from {loss.at:.3f} s on" for loss in one.losses[:8]]
        lines.append(
            f"the sender paused for at most {self.sender_pause:.1f} ms; dropped by the machine: {self.machine}"
        )
        return "\n".join(lines)


class Probe:
    """Sends the frames of some streams from its start until :meth:`stop`; a context manager, which ends it.

    The VMs must reach each other when it is started.

    :param interval: seconds from one frame of a stream to the next
    """

    def __init__(self, lab: Lab, streams: Iterable[Stream], *, interval: float = 0.001) -> None:
        self.streams = list(streams)
        self._lab = lab
        self._interval_ns = int(interval * 1e9)
        self._process: subprocess.Popen[str] | None = None
        self._start_ns = 0
        self._backlog = 0
        self._dropped: Counter[str] = Counter()

    def __enter__(self) -> Probe:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # which closes its input: it ends
            self._process = None

    def start(self) -> None:
        """Start to send; returns when each receiver has got a frame of each of its streams.

        :raises AssertionError: one does not get any
        """
        for host in self._lab.hosts.values():
            steady(host.ovs.vswitchd_pid)
        self._backlog = backlog_dropped()
        vms = {vm.name: vm for stream in self.streams for vm in stream.receivers}
        spec = {
            "interval_ns": self._interval_ns,
            "token": os.urandom(8).hex(),
            "device": DEVICE,
            "receivers": {
                vm.name: [place.namespace.name for place in (vm, vm.twin) if place is not None] for vm in vms.values()
            },
            "streams": [
                {
                    "namespace": stream.sender.namespace.name,
                    "source": stream.sender.nic.mac,
                    "destination": BROADCAST if stream.broadcast else stream.receivers[0].nic.mac,
                    "receivers": [vm.name for vm in stream.receivers],
                    "header": stream.header.hex(),
                }
                for stream in self.streams
            ],
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lab.probe_process", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._start_ns = self._hear()["start_ns"]
        wait_until(self._flowing, 5.0, lambda: f"all streams flow\n{self.so_far().table()}", interval=0.1)

    def _flowing(self) -> bool:
        result = self.so_far()
        return all(arrival.lost < result.sent for arrival in result.arrivals if not arrival.stream.is_forbidden)

    def so_far(self) -> Result:
        """What was counted until now: frames that are under way count as lost."""
        return self._result(self._ask("snapshot"))

    def stop(self) -> Result:
        """Send no more, wait until nothing is under way, and count."""
        result = self._result(self._ask("stop"))
        assert self._process is not None
        process, self._process = self._process, None
        process.communicate(timeout=_ANSWER_TIMEOUT)
        return result

    def wait_sent(self, frames: int, timeout: float = 30.0) -> None:
        """Wait until it has sent so many frames more of each stream.

        :raises AssertionError: it did not in time
        """
        target = self.so_far().sent + frames
        wait_until(lambda: self.so_far().sent >= target, timeout, f"{frames} frames more are sent", interval=0.05)

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process is not None, "the probe does not run"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the probe ended with status {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _result(self, answer: dict[str, Any]) -> Result:
        for host in self._lab.hosts.values():
            self._dropped.update(
                {f"{device} of {host}": count for device, count in dropped(host.ovs.vswitchd_pid).items()}
            )
        machine = {"probe": answer["overrun"], "backlog": backlog_dropped() - self._backlog, **self._dropped}
        arrivals = tuple(self._arrival(answer["sent"], one) for one in answer["arrivals"])
        machine = {where: count for where, count in machine.items() if count}
        return Result(answer["sent"], arrivals, machine, answer["pause_ns"] / 1e6)

    def _arrival(self, sent: int, counted: dict[str, Any]) -> Arrival:
        losses = tuple(
            Loss((self._start_ns + first * self._interval_ns) / 1e9, frames) for first, frames in counted["lost"]
        )
        silence = max((loss.frames * self._interval_ns for loss in losses), default=0)  # also one that has not ended
        return Arrival(
            self.streams[counted["stream"]],
            counted["receiver"],
            sent,
            sent - counted["arrived"],
            counted["duplicated"],
            counted["reordered"],
            max(counted["gap_ns"], silence) / 1e6,
            losses,
        )
