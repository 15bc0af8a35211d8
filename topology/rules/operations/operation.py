"""One operation: what is to be made, changed or deleted, in the words of the Network API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ObjectKind = str
"""``network``, ``subnet`` or ``port``."""


@dataclass(frozen=True)
class TopologyOperation:
    """What a request, an element of a document or an object that is restored asks for.

    :param id: of the object; empty: one is made for it
    :param values: attribute → value, checked; of an object that is made, what is left out is the default
    :param revision: that the object must have
    """

    action: Literal["create", "update", "delete"]
    kind: ObjectKind
    id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    revision: int | None = None


@dataclass(frozen=True)
class Maker:
    """Where new identities come from.

    :param new_id: makes a UUID
    :param random_bits: makes an integer of so many random bits
    """

    new_id: Callable[[], str]
    random_bits: Callable[[int], int]


@dataclass(frozen=True)
class NameGuard:
    """What was decided because a name was unused, or one object's, is void unless exactly these objects have it then.

    :param ids: objects of that kind with that name after the change
    """

    kind: ObjectKind
    name: str
    ids: frozenset[str]
