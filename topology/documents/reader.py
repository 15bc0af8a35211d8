"""From a file to a :class:`Document`; every error names the element or the line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from topology.documents.shape import Document, NetworkSpec, PortSpec, SubnetSpec
from topology.documents.yaml_values import parse_yaml
from topology.errors import DocumentError
from topology.model import Subnet

MAX_BYTES = 16 * 2**20
"""Size of a file that is accepted: some 100,000 ports."""

_MAX_KEY = 60  # characters of an unknown key that an error repeats

_WORDS = {
    "string_too_long": "is too long: at most 255 characters",
    "extra_forbidden": "unknown key",
    "missing": "is required",
    "string_type": "must be text; in YAML, put it in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
}
"""Errors of pydantic in words that need no knowledge of Python."""


def load_document(path: str | os.PathLike[str]) -> Document:
    """Read a topology document from a YAML file.

    :raises DocumentError: there is no such file, it cannot be read, or the document is wrong
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DocumentError("", f"{path}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise DocumentError("", f"{path}: is larger than {MAX_BYTES >> 20} MiB; apply it in parts")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("", f"{path}: is not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}") from None
    try:
        return parse_document(parse_yaml(text))
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
    try:
        document = Document.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DocumentError(_path(first["loc"]), _reason(first)) from None
    _check_unique(document)
    _check_projects(document)
    for at, network in enumerate(document.networks):
        _check_subnets(f"networks[{at}]", network)
        _check_recognisable(f"networks[{at}]", network)
    return document


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if part.isprintable() and len(part) <= _MAX_KEY else f"{part[:_MAX_KEY]!r}…"
            text += f".{key}" if text else key
    return text


def _reason(error: Any) -> str:
    if error["type"] == "enum":
        return f"must be one of {error['ctx']['expected']}"
    message: str = error["msg"].removeprefix("Value error, ")
    return _WORDS.get(error["type"], message)


def _check_unique(document: Document) -> None:
    """Refuse what would be one thing twice."""
    seen: dict[tuple[object, ...], str] = {}
    for path, key, value in _identities(document):
        first = seen.setdefault(key, path)
        if first != path:
            raise DocumentError(path, f"{value} is given to {first} already")


def _identities(document: Document) -> Iterator[tuple[str, tuple[object, ...], object]]:
    for i, network in enumerate(document.networks):
        here = f"networks[{i}]"
        if network.id:
            yield f"{here}.id", ("network", network.id), network.id
        elif network.name:
            yield f"{here}.name", ("network without id", network.name), repr(network.name)
        for j, subnet in enumerate(network.subnets):
            yield f"{here}.subnets[{j}].cidr", ("cidr", i, subnet.cidr), subnet.cidr
            if subnet.id:
                yield f"{here}.subnets[{j}].id", ("subnet", subnet.id), subnet.id
        for j, port in enumerate(network.ports):
            yield from _port_identities(i, f"{here}.ports[{j}]", port)


def _port_identities(network: int, here: str, port: PortSpec) -> Iterator[tuple[str, tuple[object, ...], object]]:
    if port.id:
        yield f"{here}.id", ("port", port.id), port.id
    if port.mac_address:
        yield f"{here}.mac_address", ("mac", network, port.mac_address), port.mac_address
    if not port.id and not port.mac_address and port.name:
        yield f"{here}.name", ("port without id", network, port.name), repr(port.name)
    for k, fixed_ip in enumerate(port.fixed_ips):
        yield f"{here}.fixed_ips[{k}].ip_address", ("ip", network, fixed_ip.ip_address), fixed_ip.ip_address


def _check_projects(document: Document) -> None:
    """An element has one project."""
    for i, network in enumerate(document.networks):
        elements: list[tuple[str, NetworkSpec | SubnetSpec | PortSpec]] = [("", network)]
        elements += [(f".subnets[{j}]", subnet) for j, subnet in enumerate(network.subnets)]
        elements += [(f".ports[{j}]", port) for j, port in enumerate(network.ports)]
        for here, element in elements:
            given = {getattr(element, name) for name in ("project_id", "tenant_id") if element.gives(name)}
            if len(given) > 1:
                raise DocumentError(f"networks[{i}]{here}.tenant_id", "is not the project_id")


def _check_subnets(here: str, network: NetworkSpec) -> None:
    for at, subnet in enumerate(network.subnets):
        if subnet.gateway_ip is None:
            continue
        if not Subnet(id=_ANY_ID, cidr=subnet.cidr).contains(subnet.gateway_ip):
            raise DocumentError(f"{here}.subnets[{at}].gateway_ip", f"{subnet.gateway_ip} is not in {subnet.cidr}")


def _check_recognisable(here: str, network: NetworkSpec) -> None:
    """A second run must find again what the first one made."""
    if not network.id and not network.name:
        raise DocumentError(here, "needs an id or a name, to be recognised in a second run")
    for at, port in enumerate(network.ports):
        if not (port.id or port.mac_address or port.name):
            raise DocumentError(
                f"{here}.ports[{at}]", "needs an id, a mac_address or a name, to be recognised in a second run"
            )


_ANY_ID = "00000000-0000-0000-0000-000000000000"
