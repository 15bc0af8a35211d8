"""The rules of the Network API by kind of object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from topology.rules import networks, ports, subnets
from topology.rules.draft import Draft


@dataclass(frozen=True)
class Rules:
    """What requests do to objects of one kind; each raises :class:`ResourceError` where a rule is broken.

    :param create: checked values → id of the new object
    :param update: id, checked values, revision that the object must have
    :param delete: id, revision that the object must have; tells only whether the object can go
    """

    create: Callable[[Draft, Mapping[str, Any]], str]
    update: Callable[[Draft, str, Mapping[str, Any], int | None], None]
    delete: Callable[[Draft, str, int | None], None]


RULES: Mapping[str, Rules] = {
    "network": Rules(networks.create, networks.update, networks.delete),
    "subnet": Rules(subnets.create, subnets.update, subnets.delete),
    "port": Rules(ports.create, ports.update, ports.delete),
}
"""Kind → its rules."""
