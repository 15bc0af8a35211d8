"""What is known of a thing as ``tunbridge explain`` prints it: one page of lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from controller.runtime.printable_text import printable

_EVENTS = 50
"""The last events that are shown; ``--json`` and ``tunbridge events`` have all."""

_PORTS = 20
"""Ports of a network that are named."""


def explanation(told: Mapping[str, Any], event_line: Callable[[Mapping[str, Any]], str]) -> str:
    """The page.

    :param told: of :func:`controller.status.explanation.explain`
    :param event_line: an event as a line
    """
    lines = [f"{told['kind'].capitalize()} {told['id']}" + (f" ({told['name']})" if told["name"] else "")]
    lines += [f"Not known: {one}" for one in told["silent"]]
    lines += _section("Problems", _problems(told["problems"])) or ["", "Problems: none"]
    lines += _section("On this host", map(_device, told["here"])) or ["", "On this host: no device"]
    lines += _section("In the topology", _topology(told)) or ["", "In the topology: nothing"]
    lines += _section("In the local OVSDB", _rows(told["rows"]))
    lines += _section("Events since the controller was started", map(event_line, told["events"][-_EVENTS:]))
    lines += _section("Flows", _flows(told["flows"]))
    return "".join(f"{printable(line)}\n" for line in lines)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = [f"  {line}" for line in lines]
    return ["", title, *body] if body else []


def _problems(problems: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in problems:
        yield str(one["problem"])
        if one["remedy"]:
            yield f"  what to do: {one['remedy']}"


def _device(device: Mapping[str, Any]) -> str:
    ofport = f", ofport {device['ofport']}" if device["ofport"] is not None else ""
    vlan = f", local VLAN {device['vlan']}" if device["vlan"] is not None else ""
    return f"device {device['device']}: port {device['id']}{ofport}{vlan}, {device['status']}"


def _topology(told: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("port", "network"):
        if told[kind] is not None:
            yield f"{kind} {told[kind]['id']}"
            yield from (f"  {name}: {_value(value)}" for name, value in told[kind].items() if name != "id")
    for group in told["security_groups"]:
        stateful = "stateful" if group["stateful"] else "stateless"
        yield f"security group {_called(group)}, {stateful}" + ("" if group["rules"] else ": allows nothing")
        for rule in group["rules"]:
            left_out = f", LEFT OUT: {rule['left_out']}" if rule["left_out"] is not None else ""
            refused = f", REFUSED by Open vSwitch: {rule['refused']}" if rule["refused"] is not None else ""
            yield f"  {rule['text']} (rule {rule['id']}){left_out}{refused}"
    if told["kind"] == "security group" or (told["kind"] == "network" and told["network"] is not None):
        ports = told["ports"]
        more = f" and {len(ports) - _PORTS} more" if len(ports) > _PORTS else ""
        yield f"ports: {', '.join(ports[:_PORTS]) or 'none'}{more}"


def _rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield f"{row['table']} {row['name']}"
        yield from (f"  {name}: {_value(value)}" for name, value in row.items() if name not in ("table", "name"))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flows(flows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for flow in flows:
        yield f"{flow['bridge']}: {flow['flow']}"
        of = f", of {_owner(flow['of'])}" if flow["of"] is not None else ""
        if flow["band"] is not None:
            yield f"  {flow['band']}{of}: {flow['meaning']}"
            yield from (f"  rule {rule['id']}: {rule['text']}" for rule in flow["rules"])
        else:
            yield f"  of nobody that is known, cookie {flow['cookie']}"
        if flow["installed"] is None:
            yield "  whether it is there is not known"
        elif not flow["installed"]:
            why = f", Open vSwitch refuses it: {flow['refused']}" if flow["refused"] is not None else ""
            yield f"  MISSING: it should be there and is not{why}"
        else:
            unwanted = "" if flow["desired"] else ", NOT WANTED: it should not be there"
            yield f"  {flow['packets']} packets, {flow['bytes']} bytes in {flow['seconds']} s{unwanted}"


def _owner(of: Mapping[str, str]) -> str:
    return f"{of['kind']} {_called(of)}"


def _called(thing: Mapping[str, str]) -> str:
    return thing["id"] + (f" ({thing['name']})" if thing.get("name") else "")
