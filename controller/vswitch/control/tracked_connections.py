"""Connections that the datapath tracks: lists those of a zone and ends single ones, by ovs-vswitchd's control socket.

Open vSwitch lists and ends them there for the kernel's datapath and its own (``dpctl/dump-conntrack``,
``dpctl/flush-conntrack``; ovs-dpctl(8)). OpenFlow can end them too (NXT_CT_FLUSH, from Open vSwitch 3.1 on), and has no
means to list them.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from controller.vswitch.control.vswitchd_client import VSwitchdClient
from topology.errors import VSwitchError

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "icmpv6": 58, "sctp": 132, "udplite": 136}
"""As they are listed; others by their number."""

ICMPV6 = 58
_WITH_TYPE = (1, ICMPV6)
_IS_GONE = os.strerror(errno.ENOENT)

_ORIGINAL = re.compile(r"(?P<protocol>[a-z0-9]+),orig=\((?P<original>[^)]*)\)")


@dataclass(frozen=True)
class Connection:
    """A connection as the packet that began it had it.

    :param protocol: number of the IP protocol
    :param source: IP address, canonical
    :param destination: likewise
    :param first: source port, or the id of an echo; None: it has none
    :param second: destination port, or the ICMP type
    :param code: of ICMP
    """

    protocol: int
    source: str
    destination: str
    first: int | None = None
    second: int | None = None
    code: int | None = None

    @property
    def is_ipv6(self) -> bool:
        """Which IP version it is of."""
        return ":" in self.source

    @property
    def has_type(self) -> bool:
        """It has an ICMP type and code in the place of ports."""
        return self.protocol in _WITH_TYPE

    @property
    def tuple_text(self) -> str:
        """As ``dpctl/flush-conntrack`` reads it: ``ct_nw_src=…,ct_nw_dst=…,ct_nw_proto=6,ct_tp_src=…,ct_tp_dst=…``."""
        family = "ipv6" if self.is_ipv6 else "nw"
        words = {
            f"ct_{family}_src": self.source,
            f"ct_{family}_dst": self.destination,
            "ct_nw_proto": self.protocol,
        }
        if self.has_type:
            words |= {"icmp_id": self.first, "icmp_type": self.second, "icmp_code": self.code}
        else:
            words |= {"ct_tp_src": self.first, "ct_tp_dst": self.second}
        return ",".join(f"{name}={value}" for name, value in words.items() if value is not None)

    def __str__(self) -> str:
        return self.tuple_text


def read_connection(line: str) -> Connection | None:
    """A line of ``dpctl/dump-conntrack``; None where it is none that can be read.

    >>> read_connection("tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5,dport=80),reply=(src=…),zone=1").second
    80
    """
    found = _ORIGINAL.match(line)
    if found is None:
        return None
    words = dict(word.split("=", 1) for word in found["original"].split(",") if "=" in word)
    with suppress(KeyError, ValueError):
        name = found["protocol"]
        protocol = _PROTOCOLS[name] if name in _PROTOCOLS else int(name)
        source, destination = (str(ipaddress.ip_address(words[end])) for end in ("src", "dst"))
        if protocol in _WITH_TYPE:
            numbers = [int(words[key]) for key in ("id", "type", "code")]
            return Connection(protocol, source, destination, *numbers)
        ports = [int(words[key]) for key in ("sport", "dport") if key in words]
        return Connection(protocol, source, destination, *ports)
    return None


class TrackedConnections:
    """The connections of one datapath.

    :param client: on which it asks, entered
    :param datapath_type: of br-int, ``system`` or ``netdev``: where Open vSwitch has several datapaths, that one's
    """

    def __init__(self, client: VSwitchdClient, datapath_type: str) -> None:
        self._client = client
        self._type = datapath_type
        self._name: tuple[str, ...] | None = None

    def _datapath(self) -> tuple[str, ...]:
        """The name of the datapath, where it has to be said."""
        if self._name is None:
            self._name = self._find_datapath()
        return self._name

    def _find_datapath(self) -> tuple[str, ...]:
        known = self._client.call("dpctl/dump-dps").split()
        if len(known) < 2:
            return ()
        mine = [name for name in known if name.startswith(f"{self._type}@")]
        if not mine:
            raise VSwitchError(f"Open vSwitch has no datapath of type {self._type} among {', '.join(known)}")
        return (mine[0],)

    def of_zone(self, zone: int) -> Iterator[Connection]:
        """The connections of a zone.

        :raises VSwitchError: the datapath cannot list them
        :raises VSwitchUnavailable: ovs-vswitchd does not answer
        """
        listed = self._client.call("dpctl/dump-conntrack", *self._datapath(), f"zone={zone}")
        for line in listed.splitlines():
            connection = read_connection(line)
            if connection is not None:
                yield connection

    def end(self, zone: int, connection: Connection) -> None:
        """End one, which is not of ICMPv6; that it has ended meanwhile is no error.

        :raises ValueError: it is of ICMPv6: see :mod:`controller.openflow.wire.echo_end`
        :raises VSwitchError: the datapath cannot
        :raises VSwitchUnavailable: ovs-vswitchd does not answer
        """
        if connection.protocol == ICMPV6:
            raise ValueError("ovs-vswitchd may abort on it")
        try:
            self._client.call("dpctl/flush-conntrack", *self._datapath(), f"zone={zone}", connection.tuple_text)
        except VSwitchError as error:
            if _IS_GONE not in str(error):
                raise

    def end_all(self, zone: int) -> None:
        """End all of a zone.

        :raises VSwitchError: the datapath cannot
        :raises VSwitchUnavailable: ovs-vswitchd does not answer
        """
        self._client.call("dpctl/flush-conntrack", *self._datapath(), f"zone={zone}")
