"""From the start of ``ovs-vsctl add-port`` until the new port's first frame reaches a neighbour, with real frames.

On the userspace datapath, with veth devices in a network namespace of its own: Open vSwitch alone (no controller, all
ports in one bridge that learns), Tunbridge and ovn-controller, one after the other. The guest sends a broadcast every
fraction of a millisecond from before its port is added. It takes root.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import device, document
from bench.ovn import LogicalPort, Ovn
from bench.table import Row, table
from scripts.private_ovs import Datapath
from scripts.processes import ProcessError
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

_CLONE_NEWNET = 0x40000000
_ETHERTYPE = 0x88B5  # IEEE 802, "local experimental"
_TIMEOUT, _PAUSE = 60.0, 0.0003  # seconds
_ALONE, _OURS, _OVN = "Open vSwitch alone", "Tunbridge", "ovn-controller"
_REACH = {_ALONE: 1.3, _OVN: 0.6}

Gone = Callable[[Device], object]
"""Waits until nothing is left of a device."""


def _own_namespace(devices: int) -> None:
    """Give this process a network of its own, with so many veth pairs ``tapN`` and ``guestN``."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise PermissionError(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1\n")
    lines = ["link set lo up"]
    for number in range(1, devices + 1):
        lines.append(f"link add tap{number} type veth peer name guest{number}")
        lines += [f"link set {end}{number} up" for end in ("tap", "guest")]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _socket(number: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
    sock.bind((f"guest{number}", _ETHERTYPE))
    return sock


def _first_frame(ovs: OvsHost, number: int, neighbour: int) -> float:
    """Milliseconds."""
    one = device(number)
    with _socket(number) as sender, _socket(neighbour) as receiver:
        frame = (
            b"\xff" * 6 + bytes.fromhex((one.mac or "").replace(":", "")) + _ETHERTYPE.to_bytes(2, "big") + bytes(46)
        )
        began = time.perf_counter()
        process = subprocess.Popen(["ovs-vsctl", f"--db={ovs.db}", "--no-wait", *one.plug_command("br-int", "")[1:]])
        try:
            while True:
                sender.send(frame)
                if select.select([receiver], [], [], _PAUSE)[0] and receiver.recv(100)[6:12] == frame[6:12]:
                    return 1000 * (time.perf_counter() - began)
                if time.perf_counter() - began > _TIMEOUT:
                    raise TimeoutError(f"no frame of {one.name} has come within {_TIMEOUT:g} s")
        finally:
            process.wait()


def _plug(ovs: OvsHost, last: int) -> list[Device]:
    devices = [device(number) for number in range(1, last + 1)]
    ovs.vsctl(*(word for one in devices for word in one.plug_command("br-int", "")))
    return devices


@contextmanager
def _alone(ports: int) -> Iterator[tuple[OvsHost, Gone]]:
    with OvsHost(Datapath.NETDEV) as ovs:
        ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
        _plug(ovs, ports)
        yield ovs, lambda _: None


@contextmanager
def _tunbridge(ports: int) -> Iterator[tuple[OvsHost, Gone]]:
    with OvsHost(Datapath.NETDEV) as ovs, Tunbridge(ovs, hub="eventlet") as tunbridge:
        tunbridge.apply(document(1, ports + 1))
        tunbridge.wait_in_sync(_TIMEOUT)
        for one in _plug(ovs, ports):
            tunbridge.wait_device(one.name, _TIMEOUT, status="ACTIVE")

        def gone(one: Device) -> None:
            wait_until(lambda: not tunbridge.device(one.name), _TIMEOUT, f"{one.name} is gone")
            tunbridge.wait_in_sync(_TIMEOUT)

        yield ovs, gone


@contextmanager
def _ovn(ports: int) -> Iterator[tuple[OvsHost, Gone]]:
    with ExitStack() as stack:
        ovs = stack.enter_context(OvsHost(Datapath.NETDEV))
        ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure")
        ovn = stack.enter_context(Ovn(ovs))
        names = [(device(number).port_id or "", device(number).mac or "") for number in range(1, ports + 2)]
        ovn.make_switch("net", [LogicalPort(*name, f"10.0.{at >> 8}.{at & 255}") for at, name in enumerate(names, 1)])
        ovn.wait_up(one.port_id or "" for one in _plug(ovs, ports))
        yield ovs, lambda one: ovn.wait_up([one.port_id or ""], up=False)


_PEERS = {_ALONE: _alone, _OURS: _tunbridge, _OVN: _ovn}


def _milliseconds(others: int, repetitions: int) -> dict[str, float]:
    """Who → the median."""
    medians = {}
    for name, peer in _PEERS.items():
        with peer(others) as (ovs, gone):
            times = []
            for _ in range(repetitions + 1):
                times.append(_first_frame(ovs, others + 1, 1))
                ovs.vsctl("del-port", "br-int", device(others + 1).name)
                gone(device(others + 1))
            medians[name] = statistics.median(times[1:])  # the first finds nothing ready
    return medians


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    _own_namespace(10 if small else 201)
    for others in (2, 5) if small else (5, 200):
        found = _milliseconds(others, 2 if small else 7)
        for peer, reach in _REACH.items():
            yield Row(
                f"first frame, {others} other ports", found[_OURS], "ms", found[peer], peer, reach,
                series="first frame", size=others, against="ports",
            )  # fmt: skip


if __name__ == "__main__":
    try:
        print(table(list(rows(small="--small" in sys.argv))))
    except (OSError, ProcessError) as error:
        sys.exit(f"first_frame: {error}")
