"""What ``tunbridge topology status`` prints: the server of this host and its cluster, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from topology.server.backup import Origin
from topology.server.cluster_status import ClusterMember, ClusterStatus
from topology.server.host_rights import narrow_addresses
from topology.server.running_server import ServerStatus

_HEADINGS = ("Id", "Address", "Role", "Index", "Lag", "Last heard of")


def problems(found: ServerStatus, listen: Sequence[str], *, host_rights: bool) -> list[str]:
    """What stands against a cluster that is as it should be, as far as the member that was asked knows.

    :param listen: of ``[topology]``; ``host_rights`` likewise
    """
    if found.cluster is None:
        return []
    told = [f"member {one.id} at {one.address} {_heard(one)}: it is down or cut off" for one in found.cluster.silent]
    if found.waits is not None:
        told.append(f"this member {found.waits}")
    narrow = narrow_addresses(listen) if host_rights else None
    return told if narrow is None else [*told, narrow]


def _heard(member: ClusterMember) -> str:
    return "was never heard of" if member.heard is None else f"was last heard of {member.heard:.0f} s ago"


def server_json(found: ServerStatus, wrong: Sequence[str] = ()) -> str:
    """As JSON; ``index`` and ``lag`` of others are null unless it leads.

    :param wrong: see :func:`problems`
    """
    cluster = found.cluster
    state: dict[str, Any] = {
        "role": found.role,
        "serves": found.serves,
        "size": found.size,
        "problems": list(wrong),
        "leader": None if cluster is None else cluster.leader,
        "term": None if cluster is None else cluster.term,
        "members": [] if cluster is None else [_member(cluster, one) for one in cluster.members],
    }
    if cluster is not None:
        state |= {
            "cluster_id": cluster.cluster_id or None,
            "server_id": cluster.server_id,
            "address": cluster.address,
            "state": cluster.state,
            "index": cluster.index,
            "waiting": cluster.waiting,
            "election_timer_ms": cluster.election_timer,
        }
    return json.dumps(state, indent=2, sort_keys=True) + "\n"


def server_text(found: ServerStatus, wrong: Sequence[str] = ()) -> str:
    """In words.

    :param wrong: see :func:`problems`
    """
    cluster = found.cluster
    size = "" if found.size is None else f", {found.size / 1024:,.0f} KiB"
    if cluster is None:
        what = "Relay" if found.role == "relay" else "Topology database of one host"
        return f"{what}: {'serves' if found.serves else 'its source does NOT answer'}{size}\n"
    leads = "this is the leader" if cluster.role == "leader" else f"the leader is {cluster.leader}"
    lines = [
        f"Member {cluster.server_id[:4]} at {cluster.address} of cluster {cluster.cluster_id[:4] or '-'}: "
        f"{cluster.role}, {cluster.state}",
        f"Term {cluster.term}: {leads if cluster.leader else 'there is NO leader'}",
        f"Database: index {cluster.index}, {cluster.waiting} entries to be applied{size}",
        "",
        "Members",
        *_columns([_HEADINGS, *(_row(cluster, member) for member in cluster.members)]),
        *([""] if wrong else []),
        *(f"Problem: {one}" for one in wrong),
    ]
    return "".join(f"{line}\n" for line in lines)


def origin_text(origin: Origin) -> str:
    """Of whom a backup is."""
    if origin.leads:
        return f"it is what member {origin.member}, the leader, had at index {origin.index}"
    who = "a relay" if origin.member is None else f"member {origin.member}, a follower,"
    index = "" if origin.member is None else f" at index {origin.index}"
    return f"it is what {who} had{index}, and may be old: name all members, so that the leader is asked"


def _member(cluster: ClusterStatus, member: ClusterMember) -> dict[str, Any]:
    silent = None if member.index is None else member in cluster.silent
    return {**vars(member), "role": _role(cluster, member), "silent": silent}


def _role(cluster: ClusterStatus, member: ClusterMember) -> str:
    if member.is_self:
        return cluster.role
    return "leader" if member.address == cluster.leader else "follower"


def _row(cluster: ClusterStatus, member: ClusterMember) -> Sequence[str]:
    heard = "-" if member.heard is None else f"{member.heard:.1f} s ago"
    if member in cluster.silent:
        heard = "never: SILENT" if member.heard is None else f"{heard}: SILENT"
    numbers = ("-" if number is None else str(number) for number in (member.index, member.lag))
    return member.id, member.address, _role(cluster, member), *numbers, "this host" if member.is_self else heard


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
