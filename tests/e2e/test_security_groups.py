"""Which packets pass between secured ports: exactly those that the rules allow, as one table.

All cases share two hosts. On each network one VM of the first host is filtered by rules, of which each case has its
own by its destination port; two others, beside it and on the second host, are open to all. What has to arrive is waited
for, and sent again until it has; what must not is sent before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.lab.frames import IPV4, Frame, quiet
from tests.support.lab.lab import Lab
from tests.support.lab.packets import ACK, ICMP, ICMPV6, SCTP, SYN, TCP, UDP, framed, ipv4, packet, segment
from tests.support.lab.security import ANY, LabSecurity, rule
from tests.support.lab.vm import Vm

NETWORKS = {"gre": ("gre", 201), "vlan": ("vlan", 202), "flat": ("flat", None)}
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "ipv6-icmp", SCTP: "sctp"}
PREFIXES = {4: ("10.0.0.0/28", "10.0.1.0/24"), 6: ("fd00::/124", "fd00:1::/64")}
"""One that all VMs are in, and one that none is in."""


@dataclass(frozen=True)
class Remote:
    """What a rule says of the other end.

    :param includes: it is one of the open VMs
    """

    name: str
    more: dict[str, Any] | None
    includes: bool


def remotes(version: int) -> list[Remote]:
    near, far = PREFIXES[version]
    return [
        Remote("any", {}, True),
        Remote("prefix", {"remote_ip_prefix": near}, True),
        Remote("another prefix", {"remote_ip_prefix": far}, False),
        Remote("group", {"group": "open"}, True),
        Remote("another group", {"group": "lonely"}, False),
        Remote("address group", {"addresses": "near"}, True),
        Remote("another address group", {"addresses": "far"}, False),
        Remote("no rule", None, False),
    ]


@dataclass(frozen=True)
class Check:
    """A packet to one destination port, or of one ICMP type and code.

    :param rule: what allows it, or seems to; None: nothing does
    """

    protocol: int
    version: int
    second: int
    remote: str
    rule: dict[str, Any] | None
    passes: bool


def checks() -> Iterator[Check]:
    """Each protocol with each kind of remote; ports at both edges of a range and beyond them."""
    for version in (4, 6):
        ethertype = f"IPv{version}"
        for protocol in (TCP, UDP, SCTP):
            for number, remote in enumerate(remotes(version)):
                low = 1000 + 10 * number
                known = None
                if remote.more is not None:
                    known = {
                        **remote.more,
                        "ethertype": ethertype,
                        "protocol": NAMES[protocol],
                        "ports": (low, low + 2),
                    }
                for port in (low - 1, low, low + 2, low + 3):
                    passes = remote.includes and low <= port <= low + 2
                    yield Check(protocol, version, port, remote.name, known, passes)
            yield from overlapping(protocol, version)
        kind, types = (ICMP, ((8, "any"), (13, "group"))) if version == 4 else (ICMPV6, ((128, "any"),))
        for number, name in types:
            more = next(remote.more or {} for remote in remotes(version) if remote.name == name)
            known = {"ethertype": ethertype, "protocol": NAMES[kind], "ports": (number, 0), **more}
            yield Check(kind, version, number << 8, name, known, True)
            yield Check(kind, version, number << 8 | 1, "no rule", None, False)


def overlapping(protocol: int, version: int) -> Iterator[Check]:
    """Ranges that have ports in common: a port passes that is in one for everybody, or for a group of the other end,
    whatever else it is in."""
    ranges = {
        (2000, 2005): {},
        (2003, 2010): {"group": "open"},
        (2008, 2020): {"group": "lonely"},
        (2002, 2004): {"group": "lonely"},
    }
    passing = {2000, 2001, 2002, 2004, 2005, 2006, 2008, 2010}
    rules = [
        {**more, "ethertype": f"IPv{version}", "protocol": NAMES[protocol], "ports": ports}
        for ports, more in ranges.items()
    ]
    for number, port in enumerate([1999, *sorted(passing), 2011, 2020]):
        yield Check(protocol, version, port, "overlapping", rules[number % len(rules)], port in passing)


CHECKS = list(checks())


@dataclass
class Case:
    """A packet from one VM to another."""

    check: Check
    sender: Vm
    receiver: Vm
    frame: Frame

    @property
    def name(self) -> str:
        one = self.check
        ends = f"{self.sender.name}→{self.receiver.name}"
        return f"{NAMES[one.protocol]} {one.second} over IPv{one.version}, {one.remote}, {ends}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts with secured ports of three networks, and groups."""
    with Lab() as lab:
        hosts = {"1": lab.add_host("h1"), "2": lab.add_host("h2")}
        places = {"open1": "1", "open2": "2", "filtered": "1", "stateless": "1"}
        where: dict[str, str] = {}
        for name, (kind, segment_id) in NETWORKS.items():
            network = lab.add_network(name, kind, segment_id)
            for number, (what, host) in enumerate(places.items(), start=1):
                if what != "stateless" or name == "gre":
                    vm = lab.add_vm(f"{name}-{what}", network, f"10.0.0.{number}/24", f"fd00::{number}/64")
                    vm.silence()
                    where[vm.name] = host
        lab.start_topology()
        lab.apply()
        security = LabSecurity(lab)
        security.group("open", ANY)
        security.group("lonely", [])
        security.address_group("near", ["10.0.0.1/32", "10.0.0.2/31", "fd00::/125"])
        security.address_group("far", ["10.0.9.0/24", "fd00:9::/64"])
        rules = [
            rule(direction, **known)
            for direction in ("ingress", "egress")
            for known in {repr(check.rule): check.rule for check in CHECKS if check.rule is not None}.values()
        ]
        security.group("filtered", rules)
        security.group("stateless", rules, stateful=False)
        for vm in lab.vms.values():
            security.secure(vm, vm.name.rpartition("-")[2].rstrip("12"))
        lab.start_controllers()
        for name, host in where.items():
            lab.vms[name].plug(hosts[host])
        lab.wait_wired()
        yield lab


def arrive(cases: Sequence[Case]) -> set[str]:
    """Send the packets of all cases, those again that have to arrive and have not; the names of those that did."""
    with ExitStack() as stack:
        receivers = {case.receiver.name: case.receiver for case in cases}
        captures = {name: stack.enter_context(vm.capture()) for name, vm in receivers.items()}

        def missing() -> list[Case]:
            return [case for case in cases if case.check.passes and not captures[case.receiver.name].copies(case.frame)]

        def arrived() -> bool:
            left = missing()
            send(left)
            return not left

        send([case for case in cases if not case.check.passes])
        quiet(list(captures.values()), arrived, timeout=20)
        return {case.name for case in cases if captures[case.receiver.name].copies(case.frame)}


def send(cases: Sequence[Case]) -> None:
    for sender in {case.sender.name: case.sender for case in cases}.values():
        sender.send(*(case.frame for case in cases if case.sender is sender))


def table(lab: Lab, network: str, filtered: str) -> list[Case]:
    """All checks in both directions, beside and across hosts."""
    middle, cases = lab.vms[f"{network}-{filtered}"], list[Case]()
    for other in (lab.vms[f"{network}-open1"], lab.vms[f"{network}-open2"]):
        for sender, receiver in ((other, middle), (middle, other)):
            for check in CHECKS:
                first = 20000 + len(cases)
                frame = packet(check.protocol, sender, receiver, first, check.second, version=check.version)
                cases.append(Case(check, sender, receiver, frame))
    return cases


@pytest.mark.parametrize(
    ("network", "filtered"), [("gre", "filtered"), ("gre", "stateless"), ("vlan", "filtered"), ("flat", "filtered")]
)
def test_exactly_what_the_rules_say_passes(lab: Lab, network: str, filtered: str) -> None:
    cases = table(lab, network, filtered)
    assert len(cases) > 120
    assert arrive(cases) == {case.name for case in cases if case.check.passes}


def reply(check: Check, sender: Vm, receiver: Vm, first: int) -> Frame:
    """What answers the packet of a check."""
    second = {ICMP: 0, ICMPV6: 129 << 8}.get(check.protocol, first)
    of = first if check.protocol in (ICMP, ICMPV6) else check.second
    return packet(check.protocol, receiver, sender, of, second, version=check.version, flags=SYN | ACK)


ANSWERED = [check for check in CHECKS if check.passes and check.remote == "any" and check.protocol != SCTP]
"""Not of SCTP: of that the datapath of Open vSwitch 3.1 tracks no ports, so that two addresses have one connection."""


@pytest.mark.parametrize("network", ["gre", *(pytest.param(name, marks=pytest.mark.long) for name in ("vlan", "flat"))])
def test_answers_pass_to_who_asked_and_no_others(lab: Lab, network: str) -> None:
    """Of a connection that the rules allow; what answers nothing is a connection of its own."""
    middle = lab.vms[f"{network}-filtered"]
    asked, unasked = list[tuple[Case, int]](), list[tuple[Check, Vm, int]]()
    for other in (lab.vms[f"{network}-open1"], lab.vms[f"{network}-open2"]):
        for check in ANSWERED:
            first = 30000 + len(asked)
            frame = packet(check.protocol, other, middle, first, check.second, version=check.version)
            asked.append((Case(check, other, middle, frame), first))
            unasked.append((check, other, first + 1000))
    assert arrive([case for case, _ in asked]) == {case.name for case, _ in asked}
    answers = [
        Case(case.check, middle, case.sender, reply(case.check, case.sender, middle, first)) for case, first in asked
    ]
    for check, other, first in unasked:
        never = Check(check.protocol, check.version, check.second, f"no question {first}", None, False)
        answers.append(Case(never, middle, other, reply(check, other, middle, first)))
    assert arrive(answers) == {case.name for case in answers if case.check.passes}


def test_fragments_of_an_allowed_packet_pass(lab: Lab) -> None:
    """They are put together for the rules, and go on as fragments; those of one that is not allowed do not."""
    sender, middle = lab.vms["gre-open2"], lab.vms["gre-filtered"]
    wholes = {
        port: segment(UDP, sender.nic.address(), middle.nic.address(), 40000 + port, port) for port in (1999, 1000)
    }

    def send_parts(port: int) -> None:
        whole = wholes[port]
        for part, bits in ((whole[:16], 0x2000), (whole[16:], 2)):
            ends = sender.nic.address(), middle.nic.address()
            packet = ipv4(*ends, UDP, part, fragment=bits, identifier=port)
            sender.send(framed(sender.nic.mac, middle.nic.mac, packet))

    with middle.capture() as capture:

        def came(port: int) -> bool:
            return any(wholes[port][16:] in frame.payload for frame in capture.received() if frame.ethertype == IPV4)

        def answered() -> bool:
            send_parts(1000)
            return came(1000)

        send_parts(1999)
        quiet([capture], answered, timeout=20)
        assert (came(1999), came(1000)) == (False, True)
