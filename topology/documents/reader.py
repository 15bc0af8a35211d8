"""From a file to a :class:`Document`; every error names the element or the line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from topology.documents.elements import Document, Element, read_document
from topology.documents.yaml_values import parse_yaml
from topology.errors import DocumentError
from topology.model import prefix_of

MAX_BYTES = 16 * 2**20
"""Size of a file that is accepted: some 100,000 ports."""


def load_document(path: str | os.PathLike[str], progress: Callable[[float], None] | None = None) -> Document:
    """Read a topology document from a YAML file.

    :param progress: is told now and then which part of the file is read, 0 to 1
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
    document = read_document(values)
    _check_unique(document)
    for network in document.networks:
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
    seen: dict[tuple[object, ...], str] = {}
    for path, key, value in _identities(document):
        first = seen.setdefault(key, path)
        if first != path:
            raise DocumentError(path, f"{value} is given to {first} already")


def _identities(document: Document) -> Iterator[tuple[str, tuple[object, ...], object]]:
    for i, network in enumerate(document.networks):
        if network.id:
            yield f"{network.path}.id", ("network", network.id), network.id
        elif network.name:
            yield f"{network.path}.name", ("network without id", network.name), repr(network.name)
        for subnet in network.subnets:
            cidr = subnet.values["cidr"]
            yield f"{subnet.path}.cidr", ("cidr", i, cidr), cidr
            if subnet.id:
                yield f"{subnet.path}.id", ("subnet", subnet.id), subnet.id
        for port in network.ports:
            yield from _port_identities(i, port)


def _port_identities(network: int, port: Element) -> Iterator[tuple[str, tuple[object, ...], object]]:
    if port.id:
        yield f"{port.path}.id", ("port", port.id), port.id
    if port.mac_address:
        yield f"{port.path}.mac_address", ("mac", network, port.mac_address), port.mac_address
    if not port.id and not port.mac_address and port.name:
        yield f"{port.path}.name", ("port without id", network, port.name), repr(port.name)
    for k, fixed_ip in enumerate(port.values.get("fixed_ips", ())):
        address = fixed_ip["ip_address"]
        yield f"{port.path}.fixed_ips[{k}].ip_address", ("ip", network, address), address


def _check_recognisable(network: Element) -> None:
    """A second run must find again what the first one made."""
    if not network.id and not network.name:
        raise DocumentError(network.path, "needs an id or a name, to be recognised in a second run")
    for port in network.ports:
        if not (port.id or port.mac_address or port.name):
            raise DocumentError(port.path, "needs an id, a mac_address or a name, to be recognised in a second run")
