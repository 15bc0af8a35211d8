"""What reaches the host controller's inbox, besides the batches of the two databases.

Each has a ``key``: of several with one key that wait, the last one counts (:class:`controller.runtime.inbox.Inbox`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.openflow.channel.session import Session
from controller.openflow.wire.messages import PortDesc


class _OfItsKind:
    @property
    def key(self) -> Hashable:
        return type(self).__name__


class _OfASession:
    session: Session

    @property
    def key(self) -> Hashable:
        return type(self).__name__, self.session


@dataclass(frozen=True)
class Identified(_OfASession):
    """A switch connected and told its datapath id."""

    session: Session


@dataclass(frozen=True)
class Closed(_OfASession):
    """A connection is over."""

    session: Session


@dataclass(frozen=True)
class PortsListed(_OfASession):
    """All ports of a bridge."""

    session: Session
    ports: tuple[PortDesc, ...]


@dataclass(frozen=True)
class PortSeen:
    """A port of a bridge is there, or (not present) has gone."""

    session: Session
    port: PortDesc
    present: bool

    @property
    def key(self) -> Hashable:
        return type(self).__name__, self.session, self.port.name


@dataclass(frozen=True)
class Registered(_OfItsKind):
    """The topology has this host under its name."""


@dataclass(frozen=True)
class WrittenBack(_OfItsKind):
    """What an older copy of the topology lacked is written, but for what is refused.

    :param refused: id → why
    """

    refused: Mapping[str, str]


@dataclass(frozen=True)
class SetUp(_OfItsKind):
    """Bridges, patches and tunnel ports are as they should be, but for some.

    :param misplaced: name of a port → why it could not be made
    """

    misplaced: Mapping[str, str]


@dataclass(frozen=True)
class TimeToRetry(_OfItsKind):
    """It is time to try again what failed."""


@dataclass(frozen=True)
class TimeToReport(_OfItsKind):
    """It is time to say of ports that they are being built."""


@dataclass(frozen=True)
class Stop(_OfItsKind):
    """The controller is to end."""


@dataclass(frozen=True)
class Question:
    """Something that another thread wants to know of the controller's state.

    :param ask: called in the controller's thread
    :param answer: is given what ``ask`` returned, or the exception that it raised
    :param key: of one that takes the place of another that waits
    """

    ask: Callable[[], Any]
    answer: Callable[[Any], None]
    key: Hashable = field(default_factory=object)
