"""Everything that is known of a port, a network, a local VLAN or a flow of this host, put together for one page.

It asks whom it can, the topology database, the controller and the local OVSDB, and says who did not answer.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from controller.config.config import Config
from controller.status.control_client import ControlError, call
from controller.status.group_words import group_told
from controller.status.remedies import remedy
from controller.vswitch.row_dump import read_rows
from topology import value_types
from topology.database.snapshot import read_topology
from topology.errors import TunbridgeError
from topology.model import VLAN_MAX, VLAN_MIN, Host, Network, Port
from topology.security_groups import AddressGroup, SecurityGroup

Json = dict[str, Any]

TIMEOUT = 5.0
"""Seconds that a database has to answer."""

_NAMED = 20
"""Things that are named where several match."""


class NotFoundError(TunbridgeError):
    """Nothing is called so, or several things are."""


@dataclass(frozen=True)
class ExplainedSubject:
    """Something that was meant.

    :param kind: ``port``, ``network``, ``security group`` or ``flow``
    :param id: of a flow its cookie, or a text
    """

    kind: str
    id: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}" + (f" ({self.name})" if self.name else "")


@dataclass
class HostAnswers:
    """What those told who were asked.

    :param status: as of ``tunbridge status --json``; None: the controller does not answer
    :param silent: who did not answer, in words
    """

    ports: Mapping[str, Port] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    address_groups: Mapping[str, AddressGroup] = field(default_factory=dict)
    status: Json | None = None
    silent: list[str] = field(default_factory=list)

    @property
    def devices(self) -> list[Json]:
        """Devices with an iface-id on this host, as the status has them."""
        return list(self.status["ports"]) if self.status is not None else []

    @property
    def refused_rules(self) -> dict[str, str]:
        """Id of a rule of which this host's switch has refused a flow → why."""
        told = self.status.get("quarantined_rules", ()) if self.status is not None else ()
        return {one["id"]: one["reason"] for one in told if one["refused"]}

    def group_name(self, group_id: str) -> str:
        """That of a security group or an address group; empty where there is none."""
        group = self.groups.get(group_id) or self.address_groups.get(group_id)
        return group.name if group is not None else ""


def ask(config: Config) -> HostAnswers:
    """Ask the topology database and the controller."""
    known = HostAnswers()
    try:
        known.status = call(config.control_socket, "status")
    except ControlError as error:
        known.silent.append(str(error))
    try:
        batch = read_topology(config.topology_connection, TIMEOUT, config.topology.tls).batch
    except TunbridgeError as error:
        known.silent.append(str(error))
    else:
        known.ports = {id_: port for id_, port in batch.ports.items() if port is not None}
        known.networks = {id_: network for id_, network in batch.networks.items() if network is not None}
        known.hosts = {name: host for name, host in batch.hosts.items() if host is not None}
        known.groups = {id_: group for id_, group in batch.security_groups.items() if group is not None}
        known.address_groups = {id_: group for id_, group in batch.address_groups.items() if group is not None}
    return known


def find(thing: str, known: HostAnswers) -> ExplainedSubject:
    """The one thing that is meant.

    :param thing: id, name, device, MAC or IP address of a port; id or name of a network or a security group; a local
        VLAN; a flow, by its cookie or as ``tunbridge flows`` prints it
    :raises NotFoundError: nothing is called so, or several things are
    """
    if re.fullmatch("0x[0-9a-fA-F]{1,16}", thing) or "=" in thing:
        return ExplainedSubject("flow", thing)
    matches = sorted({*ports_called(thing, known), *_networks(thing, known), *_groups(thing, known)}, key=str)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        partly = f"; {'; '.join(known.silent)}" if known.silent else ""
        raise NotFoundError(
            f"nothing is known of {thing!r}: expected a port (its id, name, device, MAC or IP address), a network (its "
            "id or name), a security group (its id or name), a local VLAN that a network has on this host, or a flow "
            f"(its cookie, or its text){partly}"
        )
    more = f" and {len(matches) - _NAMED} more" if len(matches) > _NAMED else ""
    raise NotFoundError(f"{thing!r} may be {', '.join(map(str, matches[:_NAMED]))}{more}: give an id")


def ports_called(thing: str, known: HostAnswers) -> Iterator[ExplainedSubject]:
    """Ports that a text may mean: their id, name, device, MAC or IP address; one may come twice."""
    uuid, mac, address = (_canonical(kind, thing) for kind in (value_types.uuid, value_types.mac, value_types.ip))
    for port in known.ports.values():
        addresses = [one.ip_address for one in port.fixed_ips]
        if port.id == uuid or port.mac_address == mac or address in addresses or (port.name and port.name == thing):
            yield ExplainedSubject("port", port.id, port.name)
    for device in known.devices:
        if device["device"] == thing or (device["id"] == uuid and uuid is not None):
            port_row = known.ports.get(device["id"])
            yield ExplainedSubject("port", device["id"], port_row.name if port_row is not None else "")


def _networks(thing: str, known: HostAnswers) -> Iterator[ExplainedSubject]:
    uuid = _canonical(value_types.uuid, thing)
    for network in known.networks.values():
        if network.id == uuid or (network.name and network.name == thing):
            yield ExplainedSubject("network", network.id, network.name)
    if thing.isdecimal() and VLAN_MIN <= int(thing) <= VLAN_MAX:
        for id_ in {device["network_id"] for device in known.devices if device["vlan"] == int(thing)}:
            row = known.networks.get(id_)
            yield ExplainedSubject("network", id_, row.name if row is not None else "")


def _groups(thing: str, known: HostAnswers) -> Iterator[ExplainedSubject]:
    uuid = _canonical(value_types.uuid, thing)
    for group in known.groups.values():
        if group.id == uuid or (group.name and group.name == thing):
            yield ExplainedSubject("security group", group.id, group.name)


def _canonical(kind: Any, thing: str) -> str | None:
    try:
        return str(kind.named(thing, ""))
    except ValueError:
        return None


def explain(config: Config, thing: str) -> Json:
    """What ``tunbridge explain --json`` prints.

    :raises NotFoundError: nothing is called so, or several things are
    """
    known = ask(config)
    found = find(thing, known)
    if found.kind == "flow":
        return _explain_flow(config, found, known)
    port = known.ports.get(found.id) if found.kind == "port" else None
    group_ids = [found.id] if found.kind == "security group" else port.security_group_ids if port is not None else ()
    ports = sorted(one.id for one in known.ports.values() if found.id in (one.network_id, *one.security_group_ids))
    of_group = set(ports) if found.kind == "security group" else set()
    devices = [one for one in known.devices if found.id in (one["id"], one["network_id"]) or one["id"] in of_group]
    network_id = port.network_id if port is not None else found.id if found.kind == "network" else None
    network = known.networks.get(network_id or "")
    names = sorted({one["device"] for one in devices})
    objects = [found.id, *names] if found.kind == "port" else [found.id]
    flows = _asked(known, lambda: call(config.control_socket, "explained_flows", objects=objects))
    return {
        "kind": found.kind,
        "id": found.id,
        "name": found.name,
        "port": _row(port),
        "network": _row(network),
        "security_groups": [
            group_told(known.groups[id_], known.group_name, known.refused_rules)
            for id_ in group_ids
            if id_ in known.groups
        ],
        "ports": ports,
        "here": devices,
        "rows": _rows(config, names, known) if found.kind == "port" else [],
        "events": _events(config, found, names, known) if found.kind != "security group" else [],
        "flows": flows["flows"] if flows else [],
        "problems": [*_reasons(devices), *_problems(known, [found.id, network_id or found.id, *group_ids, *names])],
        "silent": [*known.silent, *_silent(flows)],
    }


def _explain_flow(config: Config, found: ExplainedSubject, known: HostAnswers) -> Json:
    by_cookie = found.id.startswith("0x") and "=" not in found.id
    asked: Json = {"cookie": int(found.id, 16)} if by_cookie else {"text": found.id}
    answer = call(config.control_socket, "explained_flows", **asked)
    flows = answer["flows"]
    if not flows:
        raise NotFoundError(f"no bridge of this host has, or should have, a flow {found.id!r}")
    owners = {(flow["of"]["kind"], flow["of"]["id"]) for flow in flows if flow["of"] is not None}
    if not by_cookie and answer["number"] > 1:
        exact = [flow for flow in flows if "".join(flow["flow"].split()) == "".join(found.id.split())]
        if len(exact) != 1:
            shown = "; ".join(f"{flow['bridge']}: {flow['flow']}" for flow in flows[:_NAMED])
            more = f" and {answer['number'] - _NAMED} more" if answer["number"] > _NAMED else ""
            raise NotFoundError(f"{found.id!r} may be {answer['number']} flows: {shown}{more}: give more of it")
        flows = exact
    problems = [line for _, id_ in owners for line in _problems(known, [id_])]
    return {
        "kind": "flow",
        "id": found.id,
        "name": "",
        "port": None,
        "network": None,
        "security_groups": [],
        "ports": [],
        "here": [one for one in known.devices if one["id"] in {id_ for _, id_ in owners}],
        "rows": [],
        "events": [],
        "flows": flows,
        "problems": problems,
        "silent": [*known.silent, *_silent(answer)],
    }


def _asked(known: HostAnswers, question: Callable[[], Json]) -> Json | None:
    """The answer of the controller, where it has answered before."""
    if known.status is None:
        return None
    try:
        return question()
    except ControlError as error:
        known.silent.append(str(error))
        return None


def _silent(flows: Json | None) -> list[str]:
    return [f"bridge {name} is not connected: what it has is not known" for name in (flows or {}).get("silent", ())]


def _row(row: Port | Network | None) -> Json | None:
    """A row of the topology, without what is not set."""
    if row is None:
        return None
    values = dataclasses.asdict(row)
    return {name: _plain(value) for name, value in values.items() if value not in (None, "", (), [])}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _rows(config: Config, names: Iterable[str], known: HostAnswers) -> list[Json]:
    """Port and Interface of devices, as the local OVSDB has them, without what is not set."""
    names = set(names)
    if not names:
        return []
    try:
        tables = read_rows(config.ovs.ovsdb_connection, ("Port", "Interface"), config.ovs.tls, TIMEOUT)
    except TunbridgeError as error:
        known.silent.append(str(error))
        return []
    return [
        {"table": table, **{name: value for name, value in row.items() if value not in (None, {}, "") and value != []}}
        for table, rows in tables.items()
        for row in rows
        if row["name"] in names
    ]


def _events(config: Config, found: ExplainedSubject, devices: Iterable[str], known: HostAnswers) -> list[Json]:
    """Those that name it, or one of its devices, in the order in which they happened."""
    told: dict[int, Json] = {}
    asked: list[Json] = [{found.kind: found.id}, *({"port": name} for name in devices if found.kind == "port")]
    while asked:
        question = asked.pop()
        answer = _asked(known, partial(call, config.control_socket, "events", **question))
        if answer is not None:
            told.update((event["id"], event) for event in answer["events"])
            if answer["more"]:
                asked.append({**question, "journal": answer["journal"], "after": answer["last"]})
    return [told[number] for number in sorted(told)]


def _reasons(devices: Iterable[Json]) -> list[Json]:
    """What stands against its ports here, each with what to do."""
    return [
        {"problem": f"device {one['device']} is {one['status']}: {one['reason']}", "remedy": remedy(one["reason"])}
        for one in devices
        if one["reason"] is not None
    ]


def _problems(known: HostAnswers, names: Iterable[str]) -> list[Json]:
    """Problems of the status that name one of these."""
    lines = known.status["problems"] if known.status is not None else []
    wanted = {name for name in names if name}
    return [{"problem": line, "remedy": None} for line in lines if wanted & {*re.split(r"[\s:,]+", line)}]
