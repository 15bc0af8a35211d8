"""What a secured guest may not say, however its groups are: nobody hears it, and no switch learns from it.

The guest is open to all by its groups, so that nothing but port security stops a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import MULTICAST, Capture, Frame, quiet, unique
from tests.support.lab.lab import Lab
from tests.support.lab.packets import UDP, packet
from tests.support.lab.probe import Probe, Stream
from tests.support.lab.security import ANY, LabSecurity
from tests.support.lab.spoofing import GATEWAY, NOBODY, PAIR, legitimate, spoofed
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

NEVER = ("MAC address of a group", "MAC address of the neighbour")
"""Frames that reach nobody, whoever sends them: Open vSwitch drops the first, and none goes back to its sender."""
ASKING = ("ARP", "NS", "ARP of the pair")
"""What is answered on the host itself, where tunnels would lead to who is asked."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A guest and its neighbours, beside it and on another host; of a tunnelled network and of a VLAN."""
    with Lab() as lab:
        h1, h2 = lab.add_host("h1"), lab.add_host("h2")
        for name, kind in (("gre", "gre"), ("vlan", "vlan")):
            network = lab.add_network(name, kind, 301)
            for number, what in enumerate(("guest", "near", "far"), start=1):
                vm = lab.add_vm(f"{name}-{what}", network, f"10.0.0.{number}/24", f"fd00::{number}/64")
                vm.silence()
        lab.start_topology()
        lab.apply()
        security = LabSecurity(lab)
        security.group("open", ANY)
        for vm in lab.vms.values():
            security.secure(vm, "open")
            if vm.name.endswith("guest"):
                security.pairs(vm, PAIR)
        lab.start_controllers()
        for vm in lab.vms.values():
            vm.plug(h2 if vm.name.endswith("far") else h1)
        lab.wait_wired()
        yield lab


def places(lab: Lab) -> dict[str, str]:
    """Bridge and MAC address → port behind which the bridge has it."""
    found = {}
    for host in lab.hosts.values():
        for bridge in ("br-int", "br-tun", "br-ex"):
            for line in host.ovs.appctl("fdb/show", bridge).splitlines()[1:]:
                port, _, mac, _ = line.split()
                found[f"{host} {bridge} {mac}"] = port
    return found


@pytest.mark.parametrize("network", ["gre", "vlan"])
def test_nothing_spoofed_arrives(lab: Lab, network: str) -> None:
    """Of each kind to a neighbour beside it and to one on another host; then what is legitimate does."""
    guest, near, far = (lab.vms[f"{network}-{what}"] for what in ("guest", "near", "far"))
    with ExitStack() as stack:
        captures = {vm.name: stack.enter_context(vm.capture()) for vm in (near, far)}
        captures |= {f"underlay {one}": stack.enter_context(lab.capture_underlay(one)) for one in lab.hosts.values()}
        captures |= {f"trunk {one}": stack.enter_context(lab.capture_trunk(one)) for one in lab.hosts.values()}
        frames = {f"{what}: {victim.name}": frame for victim in (near, far) for what, frame in
                  spoofed(guest, victim).items()}  # fmt: skip
        good = {(what, victim): frame for victim in (near, far) for what, frame in legitimate(guest, victim).items()
                if victim is near or network == "vlan" or what not in ASKING}  # fmt: skip
        assert len(frames) > 80
        for sender, receiver in ((near, far), (far, near)):
            reach(sender, receiver, captures[receiver.name])
        with Probe(lab, [Stream(near, (far,), port=5000), Stream(far, (near,), port=5000)]) as probe:
            before = places(lab)
            guest.send(*frames.values())

            def missing() -> list[tuple[str, Vm]]:
                return [key for key, frame in good.items() if not captures[key[1].name].copies(frame)]

            def arrived() -> bool:
                left = missing()
                guest.send(*(good[key] for key in left))
                return not left

            quiet((), arrived, timeout=20)
            after, result = places(lab), probe.stop()
        assert [f"{what} to {victim.name}" for what, victim in missing()] == []
        assert seen(captures, frames) == []
        moved = {mac: port for mac, port in after.items() if before.get(mac, port) != port}
        assert (moved, [mac for mac in after if NOBODY in mac or GATEWAY[0] in mac]) == ({}, [])
        assert result.lost == 0, result.table()


def reach(sender: Vm, receiver: Vm, capture: Capture) -> None:
    """Send packets like those of the probe until one arrives: the first over a tunnel may be lost."""
    first = packet(UDP, sender, receiver, 5000, 5000)

    def arrives() -> bool:
        sender.send(first)
        return bool(capture.copies(first))

    wait_until(arrives, 20, f"{receiver.name} hears {sender.name}")


def seen(captures: dict[str, Capture], frames: dict[str, Frame]) -> list[str]:
    """What was seen where."""
    marks = {frame.payload[-20:]: what for what, frame in frames.items()}
    return sorted(
        f"{what} at {where}"
        for where, capture in captures.items()
        for captured in capture.seen()
        if (what := next((what for mark, what in marks.items() if mark in captured.data), None)) is not None
    )


def test_without_port_security_each_arrives(lab: Lab) -> None:
    """So that it is port security which stops them; but tags, which no port of a network may send."""
    guest, near = lab.vms["gre-guest"], lab.vms["gre-near"]
    LabSecurity(lab).unsecure(guest)
    frames = {what: frame for what, frame in spoofed(guest, near).items() if not frame.tags and what not in NEVER}
    with near.capture() as capture:

        def arrived() -> bool:
            left = [frame for frame in frames.values() if not capture.copies(frame)]
            guest.send(*left)
            return not left

        quiet([capture], arrived, timeout=20)
        assert [what for what, frame in frames.items() if not capture.copies(frame)] == []


def test_what_is_for_bridges_ends_at_the_bridge(lab: Lab) -> None:
    """Of a port without port security in a network that has a secured one here; what is for others leaves the host."""
    sender = lab.vms["gre-near"]
    LabSecurity(lab).unsecure(sender)
    lab.wait_wired()
    bridges = [unique(f"01:80:c2:00:00:{last:02x}", sender.nic.mac) for last in range(16)]
    others = [unique(to, sender.nic.mac) for to in ("01:80:c2:00:00:10", "01:80:c2:00:01:00", MULTICAST)]
    with lab.capture_underlay(lab.hosts["h1"]) as capture:

        def left(frames: list[Frame]) -> list[Frame]:
            return [one for one in frames if any(one.payload in seen.data for seen in capture.seen())]

        def leave() -> bool:
            sender.send(*others)
            return left(others) == others

        sender.send(*bridges)
        quiet([capture], leave, timeout=20)
        assert (left(bridges), left(others)) == ([], others)
