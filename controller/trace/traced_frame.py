"""What is to be traced: from which port, to which, and what the frame has in its headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import netaddr

from controller.status.explanation import ExplainedSubject, HostAnswers, Json, NotFoundError, ports_called
from topology.model import Network, NetworkType, Port

EXPERIMENTAL = "dl_type=0x88b5"
"""The ethertype of IEEE 802 for experiments: of a frame of which nothing else is said."""

_SOURCE, _DESTINATION = ("dl_src", "eth_src"), ("dl_dst", "eth_dst")
_WHERE = ("in_port", "tun_id", "tun_src", "tun_dst", "tunnel_id")
"""What the command itself says of a frame."""

_NAMED = 5
"""Ports that an error names."""


class FrameError(NotFoundError):
    """What was given makes no frame that can be traced."""


@dataclass(frozen=True)
class TracedFrame:
    """A frame as ovs-ofctl writes it, without where it comes in.

    :param words: e.g. ``("dl_src=…", "dl_dst=…", "icmp")``
    :param size: bytes of the packet in it, its own header included; None: small
    :param packet: all of its bytes, in hexadecimal; None: it is none that there was
    """

    words: tuple[str, ...]
    source: str
    destination: str
    size: int | None = None
    packet: str | None = None

    @property
    def is_multicast(self) -> bool:
        """Whether it is for more than one."""
        return bool(int(self.destination[:2], 16) & 1)


@dataclass(frozen=True)
class ArrivalPoint:
    """Where a frame comes in from another host.

    :param kind: an encapsulation, or empty: from a physical network
    :param id: of the tunnel, or the VLAN on the physical network; None: without a tag
    :param remote_ip: address of the host that has sent it into a tunnel
    """

    kind: str
    id: int | None
    remote_ip: str | None = None
    physical_network: str | None = None

    def __str__(self) -> str:
        if self.physical_network is not None:
            return self.physical_network + (f":{self.id}" if self.id is not None else "")
        return f"{self.kind}:{self.id}:{self.remote_ip}"

    @classmethod
    def read(cls, text: str) -> ArrivalPoint:
        """Of ``gre:7:192.0.2.1``, ``physnet1`` or ``physnet1:103``.

        :raises FrameError: it is none of these
        """
        kind, _, rest = text.partition(":")
        number, _, remote_ip = rest.partition(":")
        tunnels = [one.value for one in NetworkType if one.is_tunnel]
        try:
            if kind in tunnels:
                return cls(kind, int(number, 0), str(netaddr.IPAddress(remote_ip)))
            if kind and not remote_ip:
                return cls("", int(number) if number else None, physical_network=kind)
        except (ValueError, netaddr.AddrFormatError):
            pass
        raise FrameError(
            f"--arriving {text!r}: expected TYPE:ID:ADDRESS (e.g. gre:7:192.0.2.1: out of the tunnel from that "
            "address) or PHYSICAL_NETWORK[:VLAN] (e.g. physnet1:103)"
        )

    def network(self, networks: Iterable[Network]) -> Network | None:
        """The network that its frames are of."""
        for network in networks:
            is_here = network.physical_network == self.physical_network and network.segmentation_id == self.id
            if is_here and (self.physical_network is not None or network.network_type.value == self.kind):
                return network
        return None


def frame_of(packet: str) -> TracedFrame:
    """A frame that there was.

    :param packet: all of its bytes, in hexadecimal
    """
    octets = bytes.fromhex(packet)
    destination, source = octets[:6].hex(":"), octets[6:12].hex(":")
    at, words = 12, [f"dl_src={source}", f"dl_dst={destination}"]
    if octets[12:14] in (b"\x81\x00", b"\x88\xa8"):
        words.append(f"dl_vlan={int.from_bytes(octets[14:16], 'big') & 0xFFF}")
        at = 16
    words.append(f"dl_type=0x{octets[at : at + 2].hex()}")
    return TracedFrame(tuple(words), source, destination, packet=packet)


def find_port(thing: str, known: HostAnswers, network_id: str | None = None) -> ExplainedSubject:
    """The one port that is meant.

    :param network_id: of whose ports it is, where several are called so
    :raises FrameError: none is called so, or several are
    """
    found = sorted(set(ports_called(thing, known)), key=str)
    near = [one for one in found if one.id in known.ports and known.ports[one.id].network_id == network_id]
    here = [one for one in found if any(device["id"] == one.id for device in known.devices)]
    for chosen in (found, near, here):
        if len(chosen) == 1:
            return chosen[0]
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise FrameError(f"{thing!r} may be {', '.join(map(str, found[:_NAMED]))}{more}: give an id")
    partly = f"; {'; '.join(known.silent)}" if known.silent else ""
    raise FrameError(f"no port is called {thing!r}: expected its id, name, device, MAC or IP address{partly}")


def mac_of(text: str) -> str | None:
    """A MAC address, also one of many, as others are written; None: it is none."""
    found = re.fullmatch(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}", text.lower())
    return found[0].replace("-", ":") if found else None


def device_of(port_id: str, named: str, known: HostAnswers) -> Json | None:
    """The device of a port on this host: the one that is named, or that is bound, or the first."""
    devices = [one for one in known.devices if one["id"] == port_id]
    for chosen in (
        [one for one in devices if one["device"] == named],
        [one for one in devices if one["status"] == "ACTIVE"],
        devices,
    ):
        if chosen:
            return chosen[0]
    return None


def compose(
    words: str | None, source: Port | None, target: Port | None, destination: str | None, size: int | None
) -> TracedFrame:
    """The frame that is meant: what was said of it, and the rest from its ports.

    :param words: in ovs-ofctl's, e.g. ``tcp,nw_dst=10.0.0.2,tp_dst=80``
    :param destination: MAC address, where that is no port's
    :raises FrameError: it says where the frame comes in, or nobody says from or to which address it is
    """
    said = [word for word in re.split(r"[,\s]+", words or "") if word]
    keys = {word.partition("=")[0]: word.partition("=")[2] for word in said}
    for key in _WHERE:
        if key in keys:
            raise FrameError(f"--frame: {key} is not a matter of the frame: FROM or --arriving say where it comes in")
    from_mac = _address(keys, _SOURCE, source.mac_address if source is not None else None, "from")
    to_mac = _address(keys, _DESTINATION, destination or (target.mac_address if target is not None else None), "to")
    rest = [word for word in said if word.partition("=")[0] not in (*_SOURCE, *_DESTINATION)]
    is_plain = all(re.match(r"(?:dl_)?vlan", word) for word in rest)
    if is_plain:
        rest += _conversation(source, target) if not int(to_mac[:2], 16) & 1 else [EXPERIMENTAL]
    return TracedFrame((f"dl_src={from_mac}", f"dl_dst={to_mac}", *rest), from_mac, to_mac, size)


def _address(keys: Mapping[str, str], names: tuple[str, str], default: str | None, direction: str) -> str:
    said = next((keys[name] for name in names if name in keys), default)
    if said is None:
        raise FrameError(f"--frame: {names[0]} is needed: nothing else says which address the frame is {direction}")
    mac = mac_of(said)
    if mac is None:
        raise FrameError(f"--frame: {names[0]}={said}: expected a MAC address")
    return mac


def _conversation(source: Port | None, target: Port | None) -> list[str]:
    """Of a ping between two ports that have IPv4 addresses; else of nothing that anybody knows."""
    ends = []
    for port in (source, target):
        addresses = [one.ip_address for one in port.fixed_ips if ":" not in one.ip_address] if port is not None else []
        ends += addresses[:1]
    return ["icmp", f"nw_src={ends[0]}", f"nw_dst={ends[1]}", "nw_ttl=64"] if len(ends) == 2 else [EXPERIMENTAL]
