"""What planning takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from topology.model import Network, Port
from topology.rules.allocation.segment_allocation import SegmentKey

Kind = Literal["network", "subnet", "port"]

Key = tuple[Kind, str]
"""Kind and id of an object."""

Attributes = Mapping[str, str]
"""What is kept of an object beside the model: name of the attribute → JSON, as a row has it."""


@dataclass(frozen=True)
class BrokenRow:
    """A row of a network or port that breaks a rule of the model, so that there is no object of it.

    :param id: as the row has it
    """

    kind: Kind
    id: str
    name: str
    reason: str


@dataclass(frozen=True)
class TopologyState:
    """The topology as it is.

    :param broken: rows that are treated as absent, but take up their ids and addresses
    :param segments: all segments in use, those of broken rows too
    :param attributes: what is kept of each object
    """

    networks: Mapping[str, Network] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    broken: tuple[BrokenRow, ...] = ()
    segments: frozenset[SegmentKey] = frozenset()
    attributes: Mapping[Key, Attributes] = field(default_factory=dict)


@dataclass(frozen=True)
class Maker:
    """Where new identities come from.

    :param new_id: makes a UUID
    :param random_bits: makes an integer of so many random bits
    """

    new_id: Callable[[], str]
    random_bits: Callable[[int], int]


@dataclass(frozen=True)
class Change:
    """One line of what an apply did or would do.

    :param detail: the attributes that matter, or for an update those that differ
    """

    action: Literal["create", "update", "delete"]
    kind: Kind
    id: str
    name: str
    detail: str


@dataclass(frozen=True)
class NameGuard:
    """A plan that took a name for unused, or for one object's, is void unless exactly these objects have it in the end.

    :param ids: objects of that kind with that name after the plan
    """

    kind: Kind
    name: str
    ids: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    :param networks: networks to create or update, with all their subnets
    :param ports: ports to create or update
    :param deleted_networks: ids, those of broken rows too
    :param deleted_ports: ids, those of broken rows too
    :param changes: the same for people, in a stable order
    :param attributes: what is to be kept of each network, subnet and port that is made or changed
    """

    networks: Mapping[str, Network]
    ports: Mapping[str, Port]
    deleted_networks: frozenset[str]
    deleted_ports: frozenset[str]
    guards: tuple[NameGuard, ...]
    changes: tuple[Change, ...]
    attributes: Mapping[Key, Attributes] = field(default_factory=dict)
