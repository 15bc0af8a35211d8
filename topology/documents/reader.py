"""From a file to a :class:`Document`: its keys, and what the value of each may be; every error names element or line.

An element has only the values that were given: a key that is left out keeps its value on an object that exists already.
The values are those of :mod:`topology.value_types`, by the names that the Network API has for them; those that it
stores as they are given are checked as a request's are. What is a part of the model must be written as what it is, text
as text and numbers as numbers: YAML has its own ideas of ``1:30`` and ``on``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Any

from topology import value_types
from topology.documents.document_text import read_text
from topology.documents.yaml_values import parse_yaml
from topology.errors import DocumentError
from topology.model import NetworkType, prefix_of
from topology.rules.attributes.attributes import (
    ADDRESS_GROUP,
    NETWORK,
    PORT,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    SUBNET,
    Resource,
)
from topology.rules.security.default_rules import IN_DEFAULT, IN_OTHERS

_MAX_KEY = 60  # characters of an unknown key that an error repeats


@dataclass(frozen=True)
class Element:
    """An element of a document.

    :param path: where it is, e.g. ``networks[0].ports[2]``
    :param values: attribute → value, canonical, as far as they are given; ``id`` too
    :param subnets: of a network
    :param ports: of a network
    :param rules: of a security group; None: it does not say
    """

    path: str
    values: Mapping[str, Any]
    subnets: Sequence[Element] = ()
    ports: Sequence[Element] = ()
    rules: Sequence[Element] | None = None

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


class Document(list[Element]):
    """A whole topology document: its networks, and what stands beside them.

    :param security_groups: None: it does not say
    :param address_groups: likewise
    :param default_security_group_rules: likewise
    """

    def __init__(
        self,
        networks: Iterable[Element] = (),
        security_groups: Sequence[Element] | None = None,
        address_groups: Sequence[Element] | None = None,
        default_security_group_rules: Sequence[Element] | None = None,
    ) -> None:
        super().__init__(networks)
        self.security_groups = security_groups
        self.address_groups = address_groups
        self.default_rules = default_security_group_rules


def load_document(path: str | os.PathLike[str]) -> Document:
    """Read a topology document from a YAML file.

    :raises DocumentError: there is no such file, it cannot be read, or the document is wrong
    """
    return parse_text(read_text(path), path)


def parse_text(text: str, path: str | os.PathLike[str], progress: Callable[[float], None] | None = None) -> Document:
    """Make a document of its text.

    :param path: names it in errors
    :param progress: is told now and then which part of the text is read, 0 to 1
    :raises DocumentError: the document is wrong
    """
    try:
        return parse_document(parse_yaml(text, progress))
    except DocumentError as error:
        if error.path:
            raise
        raise DocumentError("", f"{path}: {error.reason}") from None


def parse_document(values: Any) -> Document:
    """Check plain values, as YAML or JSON gives them, and make a document of them.

    :raises DocumentError: with the path of the first element that is wrong, e.g. ``networks[0].ports[2].mac_address``
    """
    if values is None:
        raise DocumentError("", "is empty; a topology document has a list 'networks'")
    if not isinstance(values, dict):
        raise DocumentError("", "is not a mapping; a topology document has a list 'networks'")
    given = _keys("", values, frozenset(("networks", *_BESIDE)), ["networks"])
    beside = {key: _elements(key, given[key], shape) for key, shape in _BESIDE.items() if key in given}
    document = Document(_elements("networks", given["networks"], _NETWORK), **beside)
    _check_unique(document)
    for key, elements in beside.items():
        _check_groups(key, elements)
    for network in document:
        for subnet in network.subnets:
            check_gateway_within(subnet, subnet.values.get("gateway_ip"))
        _check_recognisable(network)
    return document


def check_gateway_within(element: Element, gateway_ip: str | None) -> None:
    """A gateway is of its subnet.

    :param element: of the subnet
    :raises DocumentError: it is not
    """
    cidr = element.values["cidr"]
    if gateway_ip is not None and ip_address(gateway_ip) not in prefix_of(cidr):
        raise DocumentError(f"{element.path}.gateway_ip", f"{gateway_ip} is not in {cidr}")


def _check_unique(document: Document) -> None:
    """Refuse what would be one thing twice."""
    seen: dict[tuple[object, ...], tuple[Element, str]] = {}
    for element, part, key, value in _identities(document):
        first, first_part = seen.setdefault(key, (element, part))
        if first is not element or first_part != part:
            raise DocumentError(f"{element.path}.{part}", f"{value} is given to {first.path}.{first_part} already")


def _check_groups(key: str, groups: Sequence[Element]) -> None:
    """Each is recognised in a second run, and means another one."""
    if key == _DEFAULT_RULES:
        _check_rule_ids(groups)
        return
    seen: dict[object, str] = {}
    for group in groups:
        if not group.id and not group.name:
            raise DocumentError(group.path, "needs an id or a name, to be recognised in a second run")
        names = [("id", group.id)] if group.id else [("name", group.name, group.values.get("project_id", ""))]
        for name in names:
            if (first := seen.setdefault(name, group.path)) != group.path:
                raise DocumentError(f"{group.path}.{name[0]}", f"{name[1]} is given to {first} already")
    _check_rule_ids([rule for group in groups for rule in group.rules or ()] if key == "security_groups" else [])


def _check_rule_ids(rules: Sequence[Element]) -> None:
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.id and (first := seen.setdefault(rule.id, rule.path)) != rule.path:
            raise DocumentError(f"{rule.path}.id", f"{rule.id} is given to {first} already")


_Identity = tuple[Element, str, tuple[object, ...], object]
"""An element and a part of it, what may be so once, and that in words."""


def _identities(document: Document) -> Iterator[_Identity]:
    for i, network in enumerate(document):
        if network.id:
            yield network, "id", ("network", network.id), network.id
        elif network.name:
            yield network, "name", ("network without id", network.name), repr(network.name)
        for subnet in network.subnets:
            cidr = subnet.values["cidr"]
            yield subnet, "cidr", ("cidr", i, cidr), cidr
            if subnet.id:
                yield subnet, "id", ("subnet", subnet.id), subnet.id
        for port in network.ports:
            yield from _port_identities(i, port)


def _port_identities(network: int, port: Element) -> Iterator[_Identity]:
    port_id, mac_address = port.id, port.mac_address
    if port_id:
        yield port, "id", ("port", port_id), port_id
    if mac_address:
        yield port, "mac_address", ("mac", network, mac_address), mac_address
    if not port_id and not mac_address and port.name:
        yield port, "name", ("port without id", network, port.name), repr(port.name)
    for k, fixed_ip in enumerate(port.values.get("fixed_ips", ())):
        address = fixed_ip["ip_address"]
        yield port, f"fixed_ips[{k}].ip_address", ("ip", network, address), address


def _check_recognisable(network: Element) -> None:
    """A second run must find again what the first one made."""
    if not network.id and not network.name:
        raise DocumentError(network.path, "needs an id or a name, to be recognised in a second run")
    for port in network.ports:
        if not (port.id or port.mac_address or port.name):
            raise DocumentError(port.path, "needs an id, a mac_address or a name, to be recognised in a second run")


# -- elements and values -----------------------------------------------------------------------------------------------

_Read = Callable[[Any], Any]
"""What a value means; raises :class:`ValueError` with the reason."""


@dataclass(frozen=True)
class _Shape:
    """What an element may have.

    :param keys: key → how its value is read
    :param lists: key → shape of the elements that it lists
    """

    keys: Mapping[str, _Read]
    required: Sequence[str] = ()
    lists: Mapping[str, _Shape] = field(default_factory=dict)

    @cached_property
    def known(self) -> frozenset[str]:
        """All keys."""
        return frozenset((*self.keys, *self.lists))


def _elements(path: str, value: Any, shape: _Shape) -> list[Element]:
    if not isinstance(value, list):
        raise DocumentError(path, "must be a list")
    return [_element(f"{path}[{at}]", one, shape) for at, one in enumerate(value)]


def _element(path: str, value: Any, shape: _Shape) -> Element:
    values: dict[str, Any] = {}
    lists: dict[str, list[Element]] = {}
    for key, one in _keys(path, value, shape.known, shape.required).items():
        read = shape.keys.get(key)
        if read is None:
            elements = _elements(f"{path}.{key}", one, shape.lists[key])
            if key == "fixed_ips":
                values[key] = [address.values for address in elements]
            else:
                lists[key] = elements
            continue
        name = "project_id" if key == "tenant_id" else key  # its older name
        try:
            found = read(one)
        except ValueError as error:
            raise DocumentError(f"{path}.{key}", str(error)) from None
        if values.setdefault(name, found) != found:
            raise DocumentError(f"{path}.tenant_id", "is not the project_id")
    return Element(path, values, **lists)


def _keys(path: str, value: Any, known: frozenset[str], required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DocumentError(path, "must be a mapping of keys to values")
    if not value.keys() <= known:
        key = next(key for key in value if key not in known)
        shown = key if key.isprintable() and len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]!r}…"
        raise DocumentError(f"{path}.{shown}" if path else shown, "unknown key")
    for key in required:
        if key not in value:
            raise DocumentError(f"{path}.{key}" if path else key, "is required")
    return value


def _text(check: _Read, *, empty: bool = False) -> _Read:
    """By a value type that is written as text.

    :param empty: it may be
    """

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be text; in YAML, put it in quotes")
        if not value and not empty:
            raise ValueError("must not be empty")
        if len(value) > 255:
            raise ValueError("is too long: at most 255 characters")
        return check(value)

    return read


def _optional(read: _Read) -> _Read:
    return lambda value: None if value is None else read(value)


def _of(kind: type[bool | int], what: str) -> _Read:
    """By what it is in YAML alone."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {what}")
        return value

    return read


def _kind(value: Any) -> str:
    *others, last = (kind.value for kind in NetworkType)
    if value not in (*others, last):
        raise ValueError(f"must be one of {', '.join(map(repr, others))} or {last!r}")
    return str(value)


_BOOLEAN = _of(bool, "true or false")
_UUID, _IP = _text(value_types.uuid), _text(value_types.ip)
_NAME, _ANY_TEXT = _text(value_types.NAME), _text(value_types.NAME, empty=True)


def _keys_of(resource: Resource, **modelled: _Read) -> dict[str, _Read]:
    """The keys of a kind of element: those of the model, and those that the API stores as they are given."""
    stored: dict[str, _Read] = {name: one.check for name, one in resource.stored.items()}
    return {"id": _UUID, "name": _NAME, **modelled, **stored, "tenant_id": stored["project_id"]}


def _all_of(read: _Read) -> _Read:
    """A list of such, each once."""

    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("must be a list")
        found = [read(one) for one in value]
        if len(set(found)) < len(found):
            raise ValueError("has one of them twice")
        return found

    return read_all


_SUBNET = _Shape(_keys_of(SUBNET, cidr=_text(value_types.cidr), gateway_ip=_optional(_IP)), required=["cidr"])
_FIXED_IP = _Shape({"ip_address": _IP, "subnet_id": _UUID}, required=["ip_address"])
_PORT = _Shape(
    _keys_of(
        PORT,
        mac_address=_text(value_types.mac),
        device_id=_ANY_TEXT,
        device_owner=_ANY_TEXT,
        admin_state_up=_BOOLEAN,
        port_security_enabled=_BOOLEAN,
        security_groups=_all_of(_NAME),
        **{"binding:host_id": _optional(_NAME)},
    ),
    lists={"fixed_ips": _FIXED_IP},
)
_NETWORK = _Shape(
    _keys_of(
        NETWORK,
        admin_state_up=_BOOLEAN,
        **{
            "provider:network_type": _optional(_kind),
            "provider:physical_network": _optional(_NAME),
            "provider:segmentation_id": _optional(_of(int, "a whole number")),
        },
    ),
    lists={"subnets": _SUBNET, "ports": _PORT},
)

_RULE = _Shape(
    {
        "id": _UUID,
        "description": _ANY_TEXT,
        **{
            name: SECURITY_GROUP_RULE.attributes[name].check
            for name in ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
        },
        "remote_group_id": _optional(_NAME),
        "remote_address_group_id": _optional(_NAME),
    },
    required=["direction"],
)
_DEFAULT_RULES = "default_security_group_rules"
_DEFAULT_RULE = _Shape({**_RULE.keys, IN_DEFAULT: _BOOLEAN, IN_OTHERS: _BOOLEAN}, required=["direction"])
_BESIDE = {
    "security_groups": _Shape(_keys_of(SECURITY_GROUP, stateful=_BOOLEAN), lists={"rules": _RULE}),
    _DEFAULT_RULES: _DEFAULT_RULE,
    "address_groups": _Shape(_keys_of(ADDRESS_GROUP, addresses=_all_of(value_types.cidr_of))),
}
"""What stands beside networks → shape of its elements."""
