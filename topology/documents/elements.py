"""The elements of a topology document: their keys, and what the value of each may be.

An element has only the values that were given: a key that is left out keeps its value on an object that exists already.
The values are those of :mod:`topology.value_types`, by the names that the Network API has for them; those that it
stores as they are given are checked as a request's are. What is a part of the model must be written as what it is, text
as text and numbers as numbers: YAML has its own ideas of ``1:30`` and ``on``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from topology import value_types
from topology.errors import DocumentError
from topology.model import NetworkType
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource

_MAX_KEY = 60  # characters of an unknown key that an error repeats

Read = Callable[[str, Any], Any]
"""Path and value of a key → what it means; raises :class:`DocumentError`."""


@dataclass(frozen=True)
class Element:
    """An element of a document.

    :param path: where it is, e.g. ``networks[0].ports[2]``
    :param values: attribute → value, canonical, as far as they are given; ``id`` too
    :param subnets: of a network
    :param ports: of a network
    """

    path: str
    values: Mapping[str, Any]
    subnets: Sequence[Element] = ()
    ports: Sequence[Element] = ()

    @property
    def id(self) -> str:
        """Empty: it is recognised by something else."""
        return str(self.values.get("id", ""))

    @property
    def name(self) -> str:
        """Empty: none is given."""
        return str(self.values.get("name", ""))

    @property
    def mac_address(self) -> str:
        """Of a port; empty: none is given."""
        return str(self.values.get("mac_address", ""))

    @property
    def attributes(self) -> dict[str, Any]:
        """What is given beside the id."""
        return {name: value for name, value in self.values.items() if name != "id"}


@dataclass(frozen=True)
class Document:
    """A whole topology document."""

    networks: Sequence[Element] = ()


@dataclass(frozen=True)
class _Shape:
    """What an element may have.

    :param keys: key → how its value is read
    :param lists: key → shape of the elements that it lists
    """

    keys: Mapping[str, Read]
    required: Sequence[str] = ()
    lists: Mapping[str, _Shape] = field(default_factory=dict)


def read_document(values: Any) -> Document:
    """Check each value on its own.

    :raises DocumentError: with the path of the first element that is wrong
    """
    given = _keys("", values, ["networks"], ["networks"])
    return Document(_elements("networks", given["networks"], _NETWORK))


def _elements(path: str, value: Any, shape: _Shape) -> list[Element]:
    return [_element(f"{path}[{at}]", one, shape) for at, one in enumerate(_list(path, value))]


def _element(path: str, value: Any, shape: _Shape) -> Element:
    values: dict[str, Any] = {}
    lists: dict[str, list[Element]] = {}
    for key, one in _keys(path, value, (*shape.keys, *shape.lists), shape.required).items():
        here = f"{path}.{key}"
        if key in shape.lists:
            lists[key] = _elements(here, one, shape.lists[key])
        elif key == "tenant_id":  # the older name of project_id
            project = shape.keys[key](here, one)
            if values.setdefault("project_id", project) != project:
                raise DocumentError(here, "is not the project_id")
        elif values.setdefault(key, found := shape.keys[key](here, one)) != found:
            raise DocumentError(f"{path}.tenant_id", "is not the project_id")
    return Element(path, values, **lists)


def _keys(path: str, value: Any, known: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DocumentError(path, "must be a mapping of keys to values")
    for key in value:
        if key not in known:
            shown = key if key.isprintable() and len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]!r}…"
            raise DocumentError(f"{path}.{shown}" if path else shown, "unknown key")
    for key in required:
        if key not in value:
            raise DocumentError(f"{path}.{key}" if path else key, "is required")
    return value


def _list(path: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DocumentError(path, "must be a list")
    return value


# -- values ------------------------------------------------------------------------------------------------------------


def _checked(check: Callable[[Any], Any]) -> Read:
    """By a value type alone."""

    def read(path: str, value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise DocumentError(path, str(error)) from None

    return read


def _text(check: Callable[[Any], Any], *, empty: bool = False) -> Read:
    """By a value type that is written as text.

    :param empty: it may be
    """
    checked = _checked(check)

    def read(path: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise DocumentError(path, "must be text; in YAML, put it in quotes")
        if not value and not empty:
            raise DocumentError(path, "must not be empty")
        if len(value) > 255:
            raise DocumentError(path, "is too long: at most 255 characters")
        return checked(path, value)

    return read


def _optional(read: Read) -> Read:
    return lambda path, value: None if value is None else read(path, value)


def _boolean(path: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DocumentError(path, "must be true or false")
    return value


def _number(path: str, value: Any) -> int:
    """Whether the network's type can carry it is seen later."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DocumentError(path, "must be a whole number")
    return value


_KINDS = tuple(kind.value for kind in NetworkType)


def _kind(path: str, value: Any) -> str:
    if value not in _KINDS:
        shown = [repr(kind) for kind in _KINDS]
        raise DocumentError(path, f"must be one of {', '.join(shown[:-1])} or {shown[-1]}")
    return str(value)


def _fixed_ips(path: str, value: Any) -> list[dict[str, str]]:
    """An address, and its subnet where it does not follow from that."""
    found = []
    for at, item in enumerate(_list(path, value)):
        here = f"{path}[{at}]"
        given = _keys(here, item, ("ip_address", "subnet_id"), ("ip_address",))
        reads = {"ip_address": _IP, "subnet_id": _UUID}
        found.append({key: reads[key](f"{here}.{key}", one) for key, one in given.items()})
    return found


_UUID, _MAC, _IP, _CIDR = (
    _text(check) for check in (value_types.uuid, value_types.mac, value_types.ip, value_types.cidr)
)
_NAME, _ANY_TEXT = _text(value_types.NAME), _text(value_types.NAME, empty=True)


def _keys_of(resource: Resource, **modelled: Read) -> dict[str, Read]:
    """The keys of a kind of element: those of the model, and those that the API stores as they are given."""
    stored = {name: _checked(one.check) for name, one in resource.stored.items() if one.check is not None}
    return {"id": _UUID, "name": _NAME, **modelled, **stored, "tenant_id": stored["project_id"]}


_SUBNET = _Shape(_keys_of(SUBNET, cidr=_CIDR, gateway_ip=_optional(_IP)), required=["cidr"])
_PORT = _Shape(
    _keys_of(
        PORT,
        mac_address=_MAC,
        fixed_ips=_fixed_ips,
        device_id=_ANY_TEXT,
        device_owner=_ANY_TEXT,
        admin_state_up=_boolean,
        **{"binding:host_id": _optional(_NAME)},
    )
)
_NETWORK = _Shape(
    _keys_of(
        NETWORK,
        admin_state_up=_boolean,
        **{
            "provider:network_type": _optional(_kind),
            "provider:physical_network": _optional(_NAME),
            "provider:segmentation_id": _optional(_number),
        },
    ),
    lists={"subnets": _SUBNET, "ports": _PORT},
)
