"""Security groups, members and port security that change under traffic: what is not allowed any more ends, and nothing
else does; and what was never allowed passes at no time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from controller.config.config import load
from controller.trace.frame_trace import TraceRequest, trace_frame
from tests.support.lab.frames import Frame, quiet
from tests.support.lab.lab import Lab
from tests.support.lab.packets import UDP, framed, ipv4, packet, segment
from tests.support.lab.probe import Probe, Result, Stream
from tests.support.lab.security import LabSecurity, rule
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

ASKED, OTHER, NEVER = 5000, 5001, 5002
"""Ports: of the connection that is to end, of one that is to go on, of one that is never allowed."""

CLIENT = [rule("egress", "IPv4", "udp")]


def allowing(*ports: int, **remote: str) -> list[dict[str, object]]:
    return [rule("ingress", "IPv4", "udp", ports=(port, port), **remote) for port in ports]


class Scene:
    """A lab with a client and servers beside it and on another host, which all tests of the module share."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.security = LabSecurity(lab)
        self.h1, self.h2 = lab.add_host("h1"), lab.add_host("h2")
        network = lab.add_network("net", "gre", 401)
        self._numbers = itertools.count(1)
        self.network = network
        self.client, self.near, self.far = (self.vm(name) for name in ("client", "near", "far"))

    def vm(self, name: str) -> Vm:
        number = next(self._numbers)
        vm = self.lab.add_vm(name, self.network, f"10.0.0.{number}/24", f"fd00::{number}/64")
        vm.silence()
        return vm

    def reset(self) -> None:
        """Client and servers as every test begins with them."""
        self.security.group("client", CLIENT)
        self.security.group("server", allowing(ASKED, OTHER))
        self.security.secure(self.client, "client")
        for server in (self.near, self.far):
            self.security.secure(server, "server")

    def streams(self, *ports: int) -> list[Stream]:
        """Questions to both servers and their answers."""
        ends = [(self.client, server) for server in (self.near, self.far)]
        both = [pair for one, other in ends for pair in ((one, other), (other, one))]
        return [Stream(one, (other,), port=port) for port in ports for one, other in both]

    def begin(self, *ports: int) -> None:
        """Have the connections of streams begun: who answers is not heard before he was asked."""
        for server in (self.near, self.far):
            for port in ports:
                for sender, receiver in ((self.client, server), (server, self.client)):
                    self._reach(sender, receiver, port)

    def _reach(self, sender: Vm, receiver: Vm, port: int) -> None:
        frame = packet(UDP, sender, receiver, port, port)
        with receiver.capture() as capture:

            def arrives() -> bool:
                sender.send(frame)
                return bool(capture.copies(frame))

            wait_until(arrives, 30, f"{receiver.name} hears {sender.name} at port {port}")

    def forbidden(self) -> list[Stream]:
        """What the rules allow nobody: questions to another port, and what a server begins."""
        never = [Stream(self.client, (server,), port=NEVER, is_forbidden=True) for server in (self.near, self.far)]
        return [
            *never,
            *(Stream(one, (self.client,), port=NEVER + 1, is_forbidden=True) for one in (self.near, self.far)),
        ]

    def settled(self) -> None:
        self.lab.wait_wired()


@pytest.fixture(scope="module")
def module_scene() -> Iterator[Scene]:
    with Lab() as lab:
        scene = Scene(lab)
        lab.start_topology()
        lab.apply()
        scene.reset()
        lab.start_controllers()
        for vm, host in ((scene.client, scene.h1), (scene.near, scene.h1), (scene.far, scene.h2)):
            vm.plug(host)
        lab.wait_wired()
        yield scene


@pytest.fixture
def scene(module_scene: Scene) -> Scene:
    module_scene.reset()
    return module_scene


def silent(probe: Probe, port: int) -> None:
    """Wait until frames of a port arrive nowhere any more, for 200 ms."""

    def arrived(result: Result) -> int:
        return sum(one.sent - one.lost for one in result.arrivals if one.stream.port == port)

    def is_silent() -> bool:
        before = arrived(probe.so_far())
        probe.wait_sent(200)
        return arrived(probe.so_far()) == before

    wait_until(is_silent, 30, lambda: f"port {port} is silent\n{probe.so_far().table()}", interval=0.01)


def lost(result: Result, port: int) -> int:
    return sum(one.lost for one in result.arrivals if one.stream.port == port)


def passed(result: Result, port: int) -> int:
    return sum(one.sent - one.lost for one in result.arrivals if one.stream.port == port)


def endings() -> dict[str, Callable[[Scene], None]]:
    """What of it → takes the connections of :data:`ASKED` their rules, and leaves those of :data:`OTHER`."""

    def rule_removed(scene: Scene) -> None:
        scene.security.group("server", allowing(OTHER))

    def group_taken(scene: Scene) -> None:
        for server in (scene.near, scene.far):
            scene.security.secure(server, "other")

    def group_deleted(scene: Scene) -> None:
        scene.security.delete_group("asked")

    def member_gone(scene: Scene) -> None:
        scene.security.secure(scene.client, "client", members={"client": []})

    def list_emptied(scene: Scene) -> None:
        scene.security.address_group("list", ["10.0.9.0/24"])

    return {one.__name__: one for one in (rule_removed, group_taken, group_deleted, member_gone, list_emptied)}


def begin(scene: Scene, how: str) -> None:
    """Rules that allow both ports, that of :data:`ASKED` by what is to go."""
    scene.security.address_group("list", ["10.0.0.0/24"])
    remote = {"member_gone": {"group": "client"}, "list_emptied": {"addresses": "list"}}.get(how, {})
    scene.security.group("server", [*allowing(ASKED, **remote), *allowing(OTHER)])
    scene.security.group("other", allowing(OTHER))
    scene.security.group("asked", allowing(ASKED))
    for server in (scene.near, scene.far):
        groups = ("asked", "other") if how == "group_deleted" else ("server", "other")
        scene.security.secure(server, *groups)


LONG = ("group_taken", "group_deleted", "list_emptied")
"""Those that end connections by the same means as others."""


@pytest.mark.parametrize("how", [pytest.param(how, marks=pytest.mark.long if how in LONG else ()) for how in endings()])
def test_connections_that_are_allowed_no_more_end_and_no_others(scene: Scene, how: str) -> None:
    """Also the way back, on which a packet belongs to an established connection."""
    begin(scene, how)
    scene.begin(ASKED, OTHER)
    with Probe(scene.lab, [*scene.streams(ASKED, OTHER), *scene.forbidden()]) as probe:
        endings()[how](scene)
        silent(probe, ASKED)
        result = probe.stop()
    assert (lost(result, OTHER), result.passed) == (0, 0), result.table()


def test_port_security_off_and_on_loses_nothing(scene: Scene) -> None:
    scene.begin(OTHER)
    with Probe(scene.lab, scene.streams(OTHER)) as probe:
        for vm, group in ((scene.client, "client"), (scene.near, "server"), (scene.far, "server")):
            scene.security.unsecure(vm)
            probe.wait_sent(150)
            scene.security.secure(vm, group)
            probe.wait_sent(150)
        result = probe.stop()
    assert result.lost == 0, result.table()


def test_a_pair_that_is_added_to_a_live_port(scene: Scene) -> None:
    """Its address is heard from then on, under the same rules; and not any more when it is taken away."""
    mac = scene.client.nic.mac

    def sent(port: int) -> Frame:
        source, target = "10.9.0.7", scene.far.nic.address()
        return framed(mac, scene.far.nic.mac, ipv4(source, target, UDP, segment(UDP, source, target, 999, port)))

    def arrives(frame: Frame) -> bool:
        scene.client.send(frame)
        return bool(capture.copies(frame))

    scene.begin(OTHER)
    with Probe(scene.lab, scene.streams(OTHER)) as probe, scene.far.capture() as capture:
        early, good, bad = sent(OTHER), sent(OTHER), sent(NEVER)
        scene.client.send(early)
        scene.security.pairs(scene.client, ("10.9.0.0/24", mac))
        wait_until(lambda: arrives(good), 20, "the address is heard")
        scene.client.send(bad)
        scene.security.pairs(scene.client)

        def is_refused() -> bool:
            frame, next_one = sent(OTHER), packet(UDP, scene.client, scene.far, 998, OTHER)
            scene.client.send(frame, next_one)
            wait_until(lambda: capture.copies(next_one), 20, "what it may send arrives")
            return not capture.copies(frame)

        wait_until(is_refused, 20, "the address is not heard any more")
        result = probe.stop()
        assert (capture.copies(early), capture.copies(bad)) == (0, 0)
    assert result.lost == 0, result.table()


def test_a_pair_of_all_addresses_opens_no_protocol_and_no_neighbour(scene: Scene) -> None:
    """The guest may send from any IPv4 address, and its packets meet the same rules."""
    scene.security.pairs(scene.client, ("0.0.0.0/0", scene.client.nic.mac))
    mac, source, target = scene.client.nic.mac, "198.51.100.7", scene.far.nic.address()
    frames = [
        framed(mac, scene.far.nic.mac, ipv4(source, target, UDP, segment(UDP, source, target, 999, port)))
        for port in (NEVER, OTHER)
    ]
    with scene.far.capture() as capture:

        def arrives() -> bool:
            scene.client.send(*frames)
            return bool(capture.copies(frames[1]))

        wait_until(arrives, 20, "what the rules allow arrives")
        quiet([capture])
        assert capture.copies(frames[0]) == 0
    scene.begin(OTHER)
    with Probe(scene.lab, [*scene.streams(OTHER), *scene.forbidden()]) as probe:
        probe.wait_sent(100)
        result = probe.stop()
    scene.security.pairs(scene.client)
    assert (result.lost, result.passed) == (0, 0), result.table()


@pytest.mark.parametrize("how", [pytest.param("ended", marks=pytest.mark.long), "killed"])
def test_a_restart_of_the_controller(scene: Scene, how: str) -> None:
    controller = scene.lab.controllers["h1"]
    scene.begin(ASKED, OTHER)
    with Probe(scene.lab, [*scene.streams(ASKED, OTHER), *scene.forbidden()]) as probe:
        if how == "killed":
            controller.kill9()
            controller.start()
            controller.wait_ready()
        else:
            controller.restart()
        controller.wait_in_sync()
        probe.wait_sent(100)
        result = probe.stop()
    assert (result.lost, result.passed) == (0, 0), result.table()


def test_what_is_removed_while_no_controller_runs_ends_at_its_start(scene: Scene) -> None:
    controller = scene.lab.controllers["h1"]
    scene.begin(ASKED, OTHER)
    with Probe(scene.lab, scene.streams(ASKED, OTHER)) as probe:
        controller.kill9()
        scene.security.group("server", allowing(OTHER))
        controller.start()
        controller.wait_ready()
        silent(probe, ASKED)
        result = probe.stop()
    assert lost(result, OTHER) == 0, result.table()


@pytest.mark.long
def test_a_remote_group_of_two_thousand_members(scene: Scene) -> None:
    """Flows grow with the members, and one more is one more, or two; the stream goes on meanwhile."""

    def flows() -> int:
        return len(scene.h1.ovs.ofctl("dump-flows", "br-int").splitlines())

    spare = scene.vm("spare")
    scene.lab.apply()
    scene.reset()
    scene.security.group("many", [])
    scene.security.secure(spare, "many")
    scene.security.group("server", [*allowing(ASKED, group="many"), *allowing(OTHER)])
    scene.settled()
    scene.begin(OTHER)
    with Probe(scene.lab, scene.streams(OTHER)) as probe:
        before, started = flows(), time.monotonic()
        crowd = [f"10.{number // 250}.{number % 250}.9" for number in range(2000)]
        scene.security.secure(spare, "many", members={"many": crowd})
        wait_until(lambda: flows() >= before + 1999, 60, lambda: f"{flows()} flows, of {before}")
        seconds, full = time.monotonic() - started, flows()
        scene.security.secure(spare, "many", members={"many": [*crowd, scene.client.nic.address()]})
        wait_until(lambda: flows() > full, 30, "one more")
        one_more = flows() - full
        scene.security.secure(spare, "many", members={"many": ["10.0.0.250"]})
        wait_until(lambda: flows() <= before + 2, 60, lambda: f"{flows()} flows, of {before}")
        result = probe.stop()
    print(f"2,000 members: {before} flows before, {full} after {seconds:.2f} s, {one_more} for one more")
    assert full <= before + 2 * 2000
    assert one_more <= 2
    assert result.lost == 0, result.table()


def test_nothing_forbidden_passes_from_the_plug_on(scene: Scene) -> None:
    """Neither of a device that is plugged without a tag, nor of one that goes and comes, nor to it."""
    hostile = scene.vm("hostile")
    scene.lab.apply()
    scene.reset()
    scene.security.group("quiet", [])
    scene.security.secure(hostile, "quiet")
    hostile.cable(scene.h1)
    others = (scene.client, scene.near, scene.far)
    scene.begin(OTHER)
    with ExitStack() as stack:
        captures = [stack.enter_context(vm.capture(hostile)) for vm in others]
        own = stack.enter_context(hostile.capture(*others))
        to = [Stream(vm, (hostile,), port=ASKED, is_forbidden=True) for vm in others]
        bad = [Stream(hostile, (vm,), port=NEVER, is_forbidden=True) for vm in others]
        with Probe(scene.lab, [*scene.streams(OTHER), *to, *bad]) as probe:
            for _ in range(3):
                hostile.plug(scene.h1)
                scene.settled()
                probe.wait_sent(50)
                hostile.unplug()
                probe.wait_sent(50)
            result = probe.stop()
        heard = {vm.name: len(capture.received()) for vm, capture in zip(others, captures, strict=True)}
        assert (heard, own.received()) == (dict.fromkeys(heard, 0), []), result.table()
    assert (result.lost, result.passed) == (0, 0), result.table()
    assert packet(UDP, hostile, scene.client, 1, 2).source == hostile.nic.mac


@pytest.mark.parametrize(
    ("words", "is_delivered", "why"),
    [
        (f"udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,udp_src=9,udp_dst={OTHER}", True, ""),
        (f"udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,udp_src=9,udp_dst={NEVER}", False, "rule"),
        ("udp,nw_src=10.0.0.99,nw_dst=10.0.0.2,udp_src=9,udp_dst=1", False, "in another's name"),
    ],
)
def test_a_trace_says_what_stands_against_a_frame(scene: Scene, words: str, is_delivered: bool, why: str) -> None:
    scene.settled()
    config = load([str(scene.lab.controllers["h1"].config_file)])
    told = trace_frame(config, TraceRequest(scene.client.nic.port_id, scene.near.nic.port_id, words=words))
    assert told["delivered"] is is_delivered, told["sentence"]
    assert why in told["sentence"]
