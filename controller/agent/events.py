"""What reaches the agent's inbox: each event knows by which key it replaces another that waits.

Batches of the two databases and confirmations of the bridges are events as they are. What an event says goes into the
facts (:meth:`controller.agent.facts.host_facts.HostFacts.apply`), and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Union

from controller.openflow.channel.session import Session
from controller.openflow.tables.sender import Synced
from controller.openflow.wire.messages import PortDesc
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.tunnel_rows import Underlay
from topology.source import TopologyBatch


class _OnePerKind:
    @property
    def key(self) -> Hashable:
        return type(self).__name__


@dataclass(frozen=True)
class _OfASession:
    session: Session

    @property
    def key(self) -> Hashable:
        return type(self).__name__, self.session


class Identified(_OfASession):
    """A switch connected and told its datapath id."""


class Closed(_OfASession):
    """A connection is over."""


@dataclass(frozen=True)
class PortsListed(_OfASession):
    """All ports of a bridge."""

    ports: tuple[PortDesc, ...]


@dataclass(frozen=True)
class PortSeen(_OfASession):
    """A port of a bridge is there, or (not present) has gone."""

    port: PortDesc
    present: bool

    @property
    def key(self) -> Hashable:
        return type(self).__name__, self.session, self.port.name


class Registered(_OnePerKind):
    """The topology has this host under its name."""


@dataclass(frozen=True)
class WrittenBack(_OnePerKind):
    """What an older copy of the topology lacked is written, but for some: id → why it is refused."""

    refused: Mapping[str, str]


@dataclass(frozen=True)
class SetUp(_OnePerKind):
    """Bridges, patches and tunnel ports are as they should be, but for some: name of a port → why not."""

    misplaced: Mapping[str, str]


@dataclass(frozen=True)
class UnderlaySeen(_OnePerKind):
    """Packets to other hosts go other ways."""

    underlay: Underlay


@dataclass(frozen=True)
class Ping:
    """Somebody wants to know whether the agent still works.

    The one thing that must be asked in its own thread: a snapshot is there whether or not whoever made it is alive.

    :param answer: called once all that was posted before has gone through the walk and is published
    :param key: of one that takes the place of another that waits
    """

    answer: Callable[[], None]
    key: Hashable = field(default_factory=object)


class Stop(_OnePerKind):
    """The agent is to end."""


Event = Union[
    Identified,
    Closed,
    PortsListed,
    PortSeen,
    Synced,
    VSwitchBatch,
    SetUp,
    TopologyBatch,
    Registered,
    WrittenBack,
    UnderlaySeen,
    Ping,
    Stop,
]
"""Whatever the inbox takes."""
