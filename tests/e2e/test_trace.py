"""``tunbridge trace`` in a lab: what it says of a frame, and what becomes of a real one that is sent then.

All situations are in one table. Each is traced first; then all frames are sent, and every VM is watched: who the trace
says gets a copy has it, and nobody else.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import netaddr
import pytest
import yaml

from controller.config.config import load
from controller.status.explanation import HostAnswers, ask
from controller.trace.frame_trace import TraceRequest, trace_frame
from tests.support.host.ovs import Device
from tests.support.host.tunbridge import ROOT
from tests.support.lab.frames import BROADCAST, MULTICAST, Frame, quiet, send, unique
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.networks import topology_document
from tests.support.waiting import wait_until
from topology.errors import TunbridgeError

NETWORKS = {
    "red": ("gre", 7),
    "blue": ("gre", 17),
    "vx": ("vxlan", 8),
    "gen": ("geneve", 9),
    "green": ("vlan", 103),
    "lime": ("vlan", 104),
    "flat": ("flat", None),
    "loc": ("local", None),
    "off": ("gre", 18),
    "alone": ("gre", 19),
}
VMS = {
    # name: network, host that it is plugged into, binding:host_id
    "red1": ("red", "h1", None),
    "red2": ("red", "h1", None),
    "red3": ("red", "h2", "h2"),
    "silent": ("red", "h1", None),
    "victim": ("red", "h2", "h2"),
    "twice": ("red", "h2", None),
    "down1": ("red", "h1", None),
    "down2": ("red", "h2", None),
    "lent": ("red", "h1", "h2"),
    "nowhere": ("red", None, None),
    "named": ("red", None, "h2"),
    "peer": ("red", "grizzly", "grizzly"),
    "small": ("red", "h1", None),
    "refused": ("red", "h3", None),
    "blue1": ("blue", "h1", None),
    "blue3": ("blue", "h2", None),
    "vx1": ("vx", "h1", None),
    "vx3": ("vx", "h2", None),
    "vx5": ("vx", "h3", None),
    "gen1": ("gen", "h1", None),
    "gen3": ("gen", "h2", None),
    "gen9": ("gen", None, "grizzly"),
    "green1": ("green", "h1", None),
    "green2": ("green", "h1", "h1"),
    "green3": ("green", "h2", None),
    "green5": ("green", "h3", None),
    "lime3": ("lime", "h2", None),
    "flat1": ("flat", "h1", None),
    "flat3": ("flat", "h2", None),
    "loc1": ("loc", "h1", None),
    "loc2": ("loc", "h1", None),
    "loc3": ("loc", "h2", None),
    "off1": ("off", "h1", None),
    "off3": ("off", "h2", None),
    "alone1": ("alone", "h1", None),
    "ghost": ("red", None, None),
    "six1": ("red", None, "six"),
    "looped1": ("red", None, "looped"),
    "far1": ("red", None, "far"),
    "mute1": ("red", None, "mute"),
    "sole1": ("vx", None, "sole"),
}
ABSENT_HOSTS = {
    # name: tunnel address, encapsulation; of none is there more than what the topology has
    "six": ("2001:db8::6", "gre"),
    "looped": ("127.0.0.9", "gre"),
    "far": ("198.51.100.9", "gre"),
    "mute": ("192.0.2.77", "gre"),
    "sole": ("192.0.2.78", "geneve"),
}
IN_IPV6 = {"2001:db8::6": "192.0.2.6", "192.0.2.": "2001:db8::", "198.51.100.": "2001:db8:51::", "127.0.0.9": "::1"}
"""Addresses of the underlay → where that is of IPv6."""


def underlay(text: str, ip_version: int) -> str:
    """Words with addresses of the underlay in its IP version."""
    if ip_version == 4:
        return text
    pattern = "|".join(map(re.escape, IN_IPV6))
    return re.sub(pattern, lambda found: IN_IPV6[found[0]], text)


DOWN = ("down1", "down2")
NOBODY = "fa:16:3e:99:99:99"
VLAN_OF_GRIZZLY = 901


@dataclass(frozen=True)
class Situation:
    """One frame.

    :param source: VM; or, for a frame that arrives, where: ``gre:7:h2``
    :param target: VM or MAC address; None: no TO
    :param says: what the sentence has, after ``delivered`` or ``dropped``; a name in braces is a VM's port
    :param words: ``--frame``
    :param sender: VM that sends the real frame where that is not the source
    """

    source: str
    target: str | None
    delivered: bool
    says: tuple[str, ...]
    words: str | None = None
    size: int | None = None
    sender: str | None = None
    host: str = "h1"

    def __str__(self) -> str:
        more = ["", *([self.words] if self.words else []), *([str(self.size)] if self.size else [])]
        return f"{self.source}-{self.target}{' '.join(more)}"


def to(source: str, target: str | None, *says: str, **more: Any) -> Situation:
    return Situation(source, target, True, says, **more)


def lost(source: str, target: str | None, *says: str, **more: Any) -> Situation:
    return Situation(source, target, False, says, **more)


SITUATIONS = (
    # delivered, on one host
    to("red1", "red2", "port {red2}", "on host h1"),
    to("red2", "red1", "port {red1}", "on host h1"),
    to("red1", "silent", "port {silent}", "on host h1"),
    to("green1", "green2", "port {green2}", "on host h1"),
    to("loc1", "loc2", "port {loc2}", "on host h1"),
    to("red1", "small", "port {small}", "on host h1", size=900),
    # across tunnels, out of a flow-based host and out of one with a port for each peer
    to("red1", "red3", "port {red3}", "on host h2", "gre tunnel to 192.0.2.2, id 7"),
    to("red2", "red3", "port {red3}", "on host h2", "gre tunnel"),
    to("red3", "red1", "port {red1}", "on host h1", "gre tunnel to 192.0.2.1, id 7", host="h2"),
    to("red3", "silent", "port {silent}", "on host h1", "gre tunnel", host="h2"),
    to("blue1", "blue3", "port {blue3}", "on host h2", "gre tunnel to 192.0.2.2, id 17"),
    to("blue3", "blue1", "port {blue1}", "on host h1", "id 17", host="h2"),
    to("vx1", "vx3", "port {vx3}", "on host h2", "vxlan tunnel to 192.0.2.2, id 8"),
    to("vx3", "vx1", "port {vx1}", "on host h1", "vxlan tunnel to 192.0.2.1, id 8", host="h2"),
    to("gen1", "gen3", "port {gen3}", "on host h2", "geneve tunnel to 192.0.2.2, id 9"),
    to("gen3", "gen1", "port {gen1}", "on host h1", "geneve tunnel", host="h2"),
    to("red1", "red3", "port {red3}", "gre tunnel", size=1300),
    # by physical networks
    to("green1", "green3", "port {green3}", "on host h2", "physical network physnet1, with VLAN 103"),
    to("green3", "green1", "port {green1}", "on host h1", "physnet1, with VLAN 103", host="h2"),
    to("flat1", "flat3", "port {flat3}", "on host h2", "physical network physnet1, without a tag"),
    to("flat3", "flat1", "port {flat1}", "on host h1", "physnet1, without a tag", host="h2"),
    # to a Grizzly peer
    to("red1", "peer", "host grizzly", "gre tunnel to 192.0.2.4, id 7", "no controller tells"),
    to("red3", "peer", "host grizzly", "gre tunnel to 192.0.2.4", "no controller tells", host="h2"),
    # to many
    to("red1", BROADCAST, "{red2}", "{red3}", "host grizzly"),
    to("red3", BROADCAST, "{red1}", "{red2}", "{silent}", "host grizzly", host="h2"),
    to("red1", MULTICAST, "{red2}", "{red3}"),
    to("green1", BROADCAST, "{green2}", "{green3}"),
    to("green3", MULTICAST, "{green1}", "{green2}", host="h2"),
    to("flat1", BROADCAST, "{flat3}"),
    to("vx1", BROADCAST, "{vx3}"),
    to("loc1", BROADCAST, "{loc2}"),
    # of a frame that comes out of a tunnel, or from a physical network
    to("gre:7:h2", "red1", "port {red1}", "on host h1", sender="red3"),
    to("gre:17:h2", "blue1", "port {blue1}", "on host h1", sender="blue3"),
    to("gre:7:h1", "red3", "port {red3}", "on host h2", sender="red1", host="h2"),
    to("vxlan:8:h2", "vx1", "port {vx1}", "on host h1", sender="vx3"),
    to("physnet1:103", "green1", "port {green1}", "on host h1", sender="green3"),
    to("physnet1", "flat1", "port {flat1}", "on host h1", sender="flat3"),
    # the sender is not bound
    lost("down1", "red1", "device tap", "admin_state_up of the port is false", "switched the port off"),
    lost("off1", "off3", "device tap", "admin_state_up of network", "the same for its network"),
    lost("lent", "red1", "device tap", "binding:host_id is h2", "plug the device there"),
    lost("twice", "red1", "device tap", "host h2 has bound it", "unplug it here"),
    lost("tapnobody", "red1", "device tapnobody", "the topology has no such port", "apply a document"),
    lost("tapname", "red1", "device tapname", "iface-id 'vm7' is not a UUID", "set external_ids:iface-id"),
    lost("tapdouble", "red2", "device tapdouble", "has the same iface-id and is bound already", "unplug one"),
    lost("refused", "red1", "gre is not in [agent] tunnel_types of this host", "add it", host="h3"),
    lost("green5", "green1", "physnet1 is not in [ovs] bridge_mappings of this host", "bridge_mappings", host="h3"),
    lost("nowhere", "red1", "port {nowhere}", "no host has bound it", "plug a device"),
    lost("tapghost", "red1", "device tapghost", "Open vSwitch could not make the device", "make it", sender=""),
    # the receiver is not
    lost("red1", "ghost", "port {ghost} (device tapghost) on host h1", "could not make the device", "make it"),
    lost("red1", "down1", "port {down1}", "admin_state_up of the port is false"),
    lost("red1", "down2", "port {down2}", "admin_state_up of the port is false", "set admin_state_up: true"),
    lost("red1", "nowhere", "port {nowhere}", "no host has bound it", "plug a device"),
    lost("red1", "named", "port {named}", "binding:host_id is h2, and that has not bound it", "into br-int of h2"),
    lost("red1", "lent", "port {lent}", "binding:host_id is h2", "plug the device there"),
    lost("red1", "refused", "port {refused}", "no host has bound it", "tunbridge explain there"),
    lost("green1", "green5", "port {green5}", "no host has bound it", "tunbridge explain there"),
    # they are of other networks
    lost("red1", "blue1", "br-int of host h1", "of network", "a router"),
    lost("red1", "blue3", "br-int of host h1", "of network", "a router"),
    lost("red1", "green1", "br-int of host h1", "of network", "a router"),
    lost("green1", "lime3", "br-int of host h1", "of network", "a router"),
    lost("flat1", "green3", "br-int of host h1", "of network", "a router"),
    # no way leads there
    lost("loc1", "loc3", "host h1", "a local network is on one host alone", "gre"),
    lost("vx1", "vx5", "host h3", "UDP port 4790", "set the same [agent] vxlan_udp_port"),
    lost("gen1", "gen9", "host h1", "no geneve tunnel to host grizzly"),
    lost("red1", "six1", "host h1", "of another IP version than 192.0.2.1", "use IPv4 on all hosts"),
    lost("red1", "looped1", "127.0.0.9 cannot be reached from other hosts", "give it an address of the network"),
    lost("red3", "far1", "host far", "has no route to its local_ip 198.51.100.9", "ip route get", host="h2"),
    lost("red1", "far1", "native tunnel routing failed", "ip route get"),
    lost("red1", "mute1", "neighbor cache miss for 192.0.2.77", "the other host does not answer"),
    lost("vx5", "sole1", "host h3", "no tunnel, it has geneve and this host vxlan", "add one encap", host="h3"),
    lost("alone1", BROADCAST, "no other port of network"),
    # the address is nobody's
    lost("red1", NOBODY, "no port of network", NOBODY),
    lost("blue1", NOBODY, "no port of network", NOBODY),
    lost("red1", "01:80:c2:00:00:01", "br-int of host h1", "reserved destination MAC"),
    # the frame is not one that the port may send, or too large
    lost("red1", "red2", "br-int of host h1", "VLAN 9 tagged packet", "without a tag", words="dl_vlan=9"),
    lost("green1", "green2", "br-int of host h1 (INT_TAGGED)", "has a VLAN tag", words="dl_vlan=9"),
    lost("green1", "green3", "br-int of host h1 (INT_TAGGED)", "without a tag", words="dl_vlan=103"),
    lost("red1", "small", "packet of 1300 bytes", "carries 1280", size=1300),
    # what arrives and is of nobody here
    lost("gre:99:h2", BROADCAST, "br-tun of host h1 (TUN_DROP)", "no network of the topology has gre id 99", sender=""),
    lost("gre:7:h2", NOBODY, "br-tun of host h1", "no port of network", sender="red3"),
    lost("gre:7:192.0.2.99", "red1", "(TUN_UNKNOWN)", "of no host of the topology", sender=""),
    lost("physnet1:103", "green3", "br-ex of host h1", "learned port is input port", sender=""),
    lost("physnet1:999", BROADCAST, "br-int of host h1 (INT_DROP)", "no network", sender="trunk"),
    # in the name of another
    lost("red1", "red3", "host h2", "in the name of port {victim}", words="dl_src={victim}"),
)


@dataclass
class Shown:
    """What was said and what happened.

    :param received: VMs that got the frame
    """

    told: dict[str, Any]
    received: set[str] = field(default_factory=set)


@contextmanager
def built() -> Iterator[Lab]:
    """h1 is flow-based, h2 has a tunnel port for each peer, h3 has one encapsulation and no physical network."""
    with Lab(tunnel_mode=MIXED) as lab:
        for name in ("h1", "h2", "h3"):
            lab.add_host(name)
        grizzly = lab.add_grizzly_host("grizzly")
        networks = {name: lab.add_network(name, *kind) for name, kind in NETWORKS.items()}
        for number, (name, (network, _, _)) in enumerate(VMS.items(), 1):
            vm = lab.add_vm(name, networks[network], f"10.0.0.{number}/24", mtu=1280 if name == "small" else 1400)
            vm.nic = type(vm.nic)(vm.network, vm.nic.mac, vm.nic.addresses, vm.nic.port_id, VMS[name][2])
        lab.start_topology()
        _apply(lab)
        h1, h2, h3 = (lab.hosts[name] for name in ("h1", "h2", "h3"))
        lab.start_controllers(h1, h2, options={"agent": {"tunnel_types": "gre, vxlan, geneve"}})
        only = {"agent": {"tunnel_types": "vxlan", "vxlan_udp_port": 4790}, "ovs": {"bridge_mappings": ""}}
        lab.start_controllers(h3, options=only)
        grizzly.initialise()
        grizzly.add_tunnels(host.tunnel_ip() for host in (h1, h2))
        grizzly.add_gre_network(networks["red"], VLAN_OF_GRIZZLY)
        lab.register(grizzly, "gre")
        for name, (address, kind) in ABSENT_HOSTS.items():
            there = underlay(address, lab.ip_version)
            lab.register(SimpleNamespace(name=name, tunnel_ip=lambda there=there: there), kind)
        twin = lab.add_twin(lab.vms["twice"], "twice-here")
        twin.plug(h1)
        lab.controllers["h1"].wait_device(twin.nic.device, status="ACTIVE")
        for name, (_, host, _) in VMS.items():
            if host is not None:
                lab.vms[name].plug(lab.hosts[host])
        grizzly.wire(lab.vms["peer"])
        strays = [Device("tapnobody", "00000000-0000-4000-8000-00000000dead"), Device("tapname", "vm7")]
        strays.append(Device("tapdouble", lab.vms["red1"].nic.port_id))
        h1.ovs.plug_many(strays)
        ghost = f"external_ids:iface-id={lab.vms['ghost'].nic.port_id}"  # of which there is no network device
        h1.ovs.vsctl("add-port", "br-int", "tapghost", "--", "set", "Interface", "tapghost", ghost)
        h1.namespace.ip(*(f"link set {device.name} up" for device in strays))
        _wait_settled(lab, [device.name for device in strays])
        yield lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with built() as lab:
        yield lab


def _apply(lab: Lab) -> None:
    """The topology of the lab, in which some are switched off."""
    document = topology_document(lab.networks, [vm.nic for vm in lab.vms.values()])
    for network in document["networks"]:
        network["admin_state_up"] = network["name"] != "off"
        for port in network["ports"]:
            port["admin_state_up"] = port["id"] not in {lab.vms[name].nic.port_id for name in DOWN}
    path = lab.directory / "trace.yaml"
    path.write_text(yaml.safe_dump(document))
    lab.apply_document(path)


def _wait_settled(lab: Lab, strays: list[str]) -> None:
    """Until each device is what it is to be, and every VM that sends has been heard by its switch."""
    unbound = {*DOWN, "lent", "refused", "green5", "off1", "off3"}
    for name, (_, host, _) in VMS.items():
        if host in lab.controllers:
            status = "DOWN" if name in unbound else "ACTIVE"
            lab.controllers[host].wait_device(lab.vms[name].nic.device, status=status)
    for name in (*strays, "tapghost", lab.vms["twice"].nic.device):
        lab.controllers["h1"].wait_device(name, status="DOWN")
    for name in ("h1", "h2", "h3"):
        lab.controllers[name].wait_in_sync()
    for one, other in (("red1", "red3"), ("blue1", "blue3"), ("vx1", "vx3"), ("gen1", "gen3"), ("red1", "peer")):
        lab.vms[one].wait_reaches(lab.vms[other])
    lab.vms["red3"].wait_reaches(lab.vms["peer"])
    wait_until(
        lambda: any("UDP port 4790" in line for line in lab.controllers["h1"].quick_status()["problems"]),
        30,
        "h1 says that h3 has another UDP port",
    )
    for name, vm in lab.vms.items():
        if name not in ("silent", "small"):
            vm.send(vm.frame(BROADCAST))


class Stage:
    """Traces and sends."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.configs = {name: load([str(one.config_file)]) for name, one in lab.controllers.items()}

    @cached_property
    def known(self) -> dict[str, HostAnswers]:
        """What each host knows, asked once."""
        return {name: ask(config) for name, config in self.configs.items()}

    def name(self, text: str) -> str:
        """With the ids and addresses of the VMs and of the underlay that it names."""
        for name, vm in self.lab.vms.items():
            text = text.replace(f"dl_src={{{name}}}", f"dl_src={vm.nic.mac}").replace(f"{{{name}}}", vm.nic.port_id)
        return underlay(text, self.lab.ip_version)

    def request(self, one: Situation, **more: Any) -> TraceRequest:
        """What is asked of a situation."""
        target = self.lab.vms[one.target].nic.port_id if one.target in self.lab.vms else one.target
        words = self.name(one.words) if one.words else None
        if ":" not in one.source and one.source != "physnet1":
            device = self.lab.vms[one.source].nic.device if VMS.get(one.source, (0, 0))[1] else None
            port = self.lab.vms[one.source].nic.port_id if one.source in self.lab.vms else one.source
            return TraceRequest(device or port, target, words, size=one.size, **more)
        kind, _, rest = one.source.partition(":")
        number, _, host = rest.partition(":")
        ip = self.lab.hosts[host].tunnel_ip() if host in self.lab.hosts else self.name(host)
        sender = self.lab.vms[one.sender].nic.mac if one.sender in self.lab.vms else "fa:16:3e:00:00:f0"
        return TraceRequest(
            target,
            words=f"dl_src={sender}",
            arriving=":".join(word for word in (kind, number, ip) if word),
            **more,
        )

    def trace(self, one: Situation) -> dict[str, Any]:
        return trace_frame(self.configs[one.host], self.request(one), self.known[one.host])

    def frame(self, one: Situation) -> Frame | None:
        """The real one; None: nobody of the lab can send it."""
        sender = one.source if one.sender is None else one.sender
        mac = self.lab.vms[sender].nic.mac if sender in self.lab.vms else "fa:16:3e:00:00:f1"
        words = dict(word.split("=") for word in self.name(one.words or "").split(",") if word)
        target = self.lab.vms[one.target].nic.mac if one.target in self.lab.vms else str(one.target)
        tags = [int(words["dl_vlan"])] if "dl_vlan" in words else []
        if sender == "trunk":
            tags = [int(one.source.partition(":")[2])]
        return None if sender == "" else unique(target, words.get("dl_src", mac), (one.size or 46) + 14, tags=tags)

    def send(self, one: Situation, frame: Frame) -> None:
        sender = one.source if one.sender is None else one.sender
        if sender == "trunk":
            send(self.lab.fabric, f"t-{one.host}", frame)
        elif sender in self.lab.vms:
            vm = self.lab.vms[sender]
            (vm.twin if vm.twin is not None and one.host == "h1" else vm).send(frame)
        else:
            send(self.lab.hosts[one.host].namespace, sender, frame)


def perform(lab: Lab) -> dict[Situation, Shown]:
    """All of them, traced and then sent."""
    stage = Stage(lab)
    found = {one: Shown(stage.trace(one)) for one in SITUATIONS}
    frames = {one: frame for one in SITUATIONS if (frame := stage.frame(one)) is not None}
    with ExitStack() as stack:
        captures = {name: stack.enter_context(vm.capture()) for name, vm in lab.vms.items()}
        for one, frame in frames.items():
            stage.send(one, frame)
        quiet(list(captures.values()))
        for name, capture in captures.items():
            payloads = {frame.payload for frame in capture.received()}
            for one, frame in frames.items():
                if frame.payload in payloads:
                    found[one].received.add(name)
    return found


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[Situation, Shown]:
    return perform(lab)


@pytest.mark.parametrize("one", SITUATIONS, ids=str)
def test_what_it_says_and_what_happens(lab: Lab, shown: dict[Situation, Shown], one: Situation) -> None:
    """The sentence, where the frame ends and why, and who has got the real one."""
    check(lab, shown, one)


def check(lab: Lab, shown: dict[Situation, Shown], one: Situation) -> None:
    """Of one situation."""
    told, received, stage = shown[one].told, shown[one].received, Stage(lab)
    sentence = told["sentence"]
    assert sentence.startswith("delivered to" if one.delivered else "dropped at"), sentence
    for text in one.says:
        assert stage.name(text) in sentence, sentence
    assert told["delivered"] == one.delivered
    if one.sender is None:
        names = {vm.nic.port_id: name for name, vm in lab.vms.items()}
        got = [copy for copy in told["copies"] if copy["kind"] == "port" and not copy["reason"]]
        here = {name for name, (_, host, _) in VMS.items() if host == one.host}
        assert received & here == {names[copy["port"]] for copy in got if copy["host"] == one.host}, sentence
        # another host may flood what its br-int has not learned, within the network: the topology does not know
        assert received - here >= {names[copy["port"]] for copy in got if copy["host"] != one.host}, sentence
    if one.target in lab.vms and one.sender != "":
        assert (one.target in received) == one.delivered, sentence


def test_arp_is_answered_on_the_host_of_who_asks(lab: Lab) -> None:
    """For an address on another host; what comes back to the sender is a copy of the trace too."""
    stage, red1, red3 = Stage(lab), lab.vms["red1"], lab.vms["red3"]
    own, asked = (netaddr.IPAddress(vm.nic.address()).packed for vm in (red1, red3))
    words = f"arp,dl_dst={BROADCAST},arp_op=1,arp_spa={red1.nic.address()},arp_tpa={red3.nic.address()}"
    told = trace_frame(stage.configs["h1"], TraceRequest(red1.nic.device, words=words), stage.known["h1"])
    assert told["delivered"]
    assert "this host answers in the place of the port that has the address (ARP_ANSWER)" in told["sentence"]
    assert red1.nic.port_id in {copy["port"] for copy in told["copies"]}
    assert all(copy["host"] == "h1" for copy in told["copies"])
    request = bytes.fromhex("0001080006040001") + bytes.fromhex(red1.nic.mac.replace(":", "")) + own + bytes(6) + asked
    with red1.capture() as capture, red3.capture() as elsewhere:
        red1.send(Frame(BROADCAST, red1.nic.mac, request, 0x0806))
        wait_until(
            lambda: any(frame.ethertype == 0x0806 and frame.source == red3.nic.mac for frame in capture.received()),
            10,
            "an answer comes",
        )
        assert not [frame for frame in elsewhere.received() if frame.ethertype == 0x0806]


PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ON_THE_PAGE = {"tap0f0224b6-4c": "red1", "tapc9ae0a41-ba": "vx1"}
"""Devices that docs/troubleshooting.md names, whose VMs are in this lab; addresses are those of here."""


def plain(text: str) -> str:
    """What is said, without what is another with each lab: ids, MAC addresses that OVS made, numbers of ports."""
    for pattern, name in (
        (r"\b[0-9a-f]{8}-(…|[0-9a-f]{4}-[0-9a-f-]{22,})", "ID"),
        (r"\btap[0-9a-f]{8}-[0-9a-f]{2}", "DEVICE"),
        (r"from [0-9a-f:]{17} (\S+) to [0-9a-f:]{17}", r"from MAC \1 to MAC"),
        (r"\b(in_port=|output:)\d+", r"\1PORT"),
        (r"(->tun_)ipv6_(dst)", r"\1\2"),
    ):
        text = re.sub(pattern, name, text)
    return text


def as_on_the_page(lab: Lab, words: str) -> list[str]:
    """A command of the page, with the devices of this lab."""
    for device, name in ON_THE_PAGE.items():
        words = words.replace(device, lab.vms[name].nic.device)
    return shlex.split(underlay(words, lab.ip_version))[1:]


def test_the_page_shows_what_the_command_prints(lab: Lab) -> None:
    """docs/troubleshooting.md: a whole trace, word for word."""
    command, _, rest = PAGE.partition("    $ tunbridge trace tap0f0224b6-4c 10.0.0.3\n")[2].partition("\n\nWhat is")
    assert rest
    printed = lab.controllers["h1"].command(
        "trace", *as_on_the_page(lab, "tunbridge trace tap0f0224b6-4c 10.0.0.3")[1:]
    )
    assert plain(printed).strip() == plain(underlay(textwrap.dedent(command), lab.ip_version)).strip()


@pytest.mark.parametrize("row", re.findall(r"^\| `(tunbridge trace [^`]+)` \| ``(.+)`` \|$", PAGE, re.MULTILINE))
def test_the_page_says_where_frames_end(lab: Lab, row: tuple[str, str]) -> None:
    """Its table of last lines."""
    command, said = row
    printed = lab.controllers["h1"].command(*as_on_the_page(lab, command), statuses=(0, 1))
    assert plain(printed.splitlines()[-1]) == plain(underlay(said, lab.ip_version))


@pytest.mark.parametrize(
    ("one", "device", "band"),
    [
        (to("red1", "red3", "port {red3}", "on host h2, by gre tunnel"), "red3", "TUN_INBOUND"),
        (to("green1", "green3", "port {green3}", "on host h2"), "green3", "INT_PROVIDER_INBOUND"),
        (to("red3", "red1", "port {red1}", "on host h1", host="h2"), "red1", "TUN_INBOUND"),
        (to("vx1", BROADCAST, "port {vx3}", "on host h2"), "vx3", "TUN_INBOUND"),
        (lost("red1", "red3", "(L2_IMPOSTOR)", "{victim}", words="dl_src={victim}"), None, "L2_IMPOSTOR"),
        (lost("red1", "down2", "admin_state_up of the port is false"), None, None),
        (lost("lent", "red1", "binding:host_id is h2", host="h1"), None, None),
    ],
    ids=str,
)
def test_another_host_that_is_asked(lab: Lab, via: str, one: Situation, device: str | None, band: str | None) -> None:
    """Its own flows, its own devices: nothing is left that only the topology says."""
    stage = Stage(lab)
    told = trace_frame(stage.configs[one.host], stage.request(one, via=via), stage.known[one.host])
    assert (told["delivered"], told["silent"]) == (one.delivered, [])
    for text in one.says:
        assert stage.name(text) in told["sentence"], told["sentence"]
    other = {hop["band"] for hop in told["hops"] if hop["host"] != one.host}
    if band is not None:
        assert other & {band, band.replace("TUN_", "L2_")}, told["hops"]
    if device is not None:
        assert lab.vms[device].nic.device in {copy["device"] for copy in told["copies"]}
        asked = [copy for copy in told["copies"] if copy["port"] == lab.vms[device].nic.port_id]
        assert [copy["is_asked"] for copy in asked] == [True]


def test_how_long_a_trace_across_two_hosts_takes(lab: Lab, via: str) -> None:
    """Printed: with all questions, and the start of the other host's command in it."""
    stage, (red1, red3) = Stage(lab), (lab.vms[name].nic for name in ("red1", "red3"))
    for asked in (None, via):
        begin = time.monotonic()
        told = trace_frame(stage.configs["h1"], TraceRequest(red1.device, red3.port_id, via=asked))
        seconds = time.monotonic() - begin
        assert told["delivered"]
        print(f"one trace across two hosts, {'the other asked' if asked else 'one asked'}: {seconds:.3f} s")


def test_a_port_of_another_host_is_traced_there(lab: Lab, via: str) -> None:
    """With a way to ask it; without one the error says where to ask."""
    stage, (red1, red3) = Stage(lab), (lab.vms[name].nic for name in ("red1", "red3"))
    request = TraceRequest(red3.port_id, red1.port_id)
    with pytest.raises(TunbridgeError, match=r"is on host h2: run tunbridge trace there, or .* --via"):
        trace_frame(stage.configs["h1"], request, stage.known["h1"])
    told = trace_frame(stage.configs["h1"], replace(request, via=via), stage.known["h1"])
    assert (told["delivered"], told["from"]["host"], told["from"]["device"]) == (True, "h2", red3.device)


def test_another_host_that_does_not_answer(lab: Lab) -> None:
    """That is said, and the rest is what the topology has."""
    stage, (red1, red3) = Stage(lab), (lab.vms[name].nic for name in ("red1", "red3"))
    for via, why in (
        ("sh -c 'echo no way >&2; exit 255' {host}", "no way"),
        ("/nonexistent/ssh {host}", "No such file"),
    ):
        known = replace(stage.known["h1"], silent=[])
        told = trace_frame(stage.configs["h1"], TraceRequest(red1.device, red3.port_id, via=via), known)
        assert told["delivered"]
        assert "(by what the topology has; it was not asked)" in told["sentence"]
        (line,) = told["silent"]
        assert line.startswith("host h2 cannot be asked: ")
        assert why in line


def test_the_command(lab: Lab) -> None:
    """A page whose last line is the sentence, JSON, and an exit status for each end."""
    red1, red2, down2 = (lab.vms[name].nic for name in ("red1", "red2", "down2"))
    controller = lab.controllers["h1"]
    page = controller.command("trace", red1.device, red2.address(), statuses=(0,))
    assert page.splitlines()[0] == f"A frame of port {red1.port_id} (device {red1.device}) on host h1"
    assert page.splitlines()[-1] == f"delivered to port {red2.port_id} (device {red2.device}) on host h1"
    assert "INT_NORMAL: Everything is switched by MAC learning" in page
    told = json.loads(controller.command("trace", red1.mac, down2.mac, "--json", statuses=(1,)))
    assert told["sentence"].startswith(f"dropped at port {down2.port_id} because admin_state_up of the port is false")
    assert controller.command("trace", red1.device, "10.9.9.9", statuses=(2,)) == ""
