"""What reaches the host controller's inbox, besides the batches of the two databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.openflow.channel.session import Session
from controller.openflow.wire.messages import PortDesc


@dataclass(frozen=True)
class Identified:
    """A switch connected and told its datapath id."""

    session: Session


@dataclass(frozen=True)
class Closed:
    """A connection is over."""

    session: Session


@dataclass(frozen=True)
class PortsListed:
    """All ports of a bridge."""

    session: Session
    ports: tuple[PortDesc, ...]


@dataclass(frozen=True)
class PortSeen:
    """A port of a bridge is there, or (not present) has gone."""

    session: Session
    port: PortDesc
    present: bool


@dataclass(frozen=True)
class Registered:
    """The topology has this host under its name."""


@dataclass(frozen=True)
class WrittenBack:
    """What an older copy of the topology lacked is written, but for what is refused.

    :param refused: id → why
    """

    refused: Mapping[str, str]


@dataclass(frozen=True)
class SetUp:
    """Bridges, patches and tunnel ports are as they should be, but for some.

    :param misplaced: name of a port → why it could not be made
    """

    misplaced: Mapping[str, str]


@dataclass(frozen=True)
class SetUpFailed:
    """Bridges could not be set up; it is time to try again."""


@dataclass(frozen=True)
class TimeToRetry:
    """It is time to try again what failed."""


@dataclass(frozen=True)
class TimeToReport:
    """It is time to say of ports that they are being built."""


@dataclass(frozen=True)
class Stop:
    """The controller is to end."""


@dataclass(frozen=True)
class Question:
    """Something that another thread wants to know of the controller's state.

    :param ask: called in the controller's thread
    :param answer: is given what ``ask`` returned, or the exception that it raised
    """

    ask: Callable[[], Any]
    answer: Callable[[Any], None]
