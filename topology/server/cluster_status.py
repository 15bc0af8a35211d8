"""What a member of a cluster says of itself and of the others, as values (ovsdb-server(1), "Cluster Commands")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MEMBER, _JOINS = "cluster member", "joining cluster"

_SILENCE = 5.0
"""Seconds; a leader and a member that live hear of each other three times in each election timer, of 1 s."""

_FIELD = re.compile(r"^([A-Z][\w /]*): (.*)$", re.MULTILINE)
_SERVER = re.compile(r"^    ([0-9a-f]{4}) \([0-9a-f]{4} at (\S+)\)(.*)$", re.MULTILINE)

_EVENT = re.compile(r"\|(?:reconnect|jsonrpc|stream_ssl|raft)\|(?:INFO|WARN|ERR)\|(.*)$")
_PROGRESS = re.compile(r"connecting\.\.\.|connected$|before reconnect$|continuing to reconnect|listening on port")
"""What is no error, of what ovsdb-server logs of its connections to others."""


@dataclass(frozen=True)
class ClusterMember:
    """One of the members, as the one that was asked knows it.

    :param id: the first four digits of its server id
    :param address: where other members reach it
    :param is_self: the one that was asked
    :param index: of the last entry of the log that it is known to have; None: only the leader knows
    :param lag: entries that the leader has and it has not; None: likewise
    :param heard: seconds since it was last heard of; None: it was not, as followers do not hear of one another
    """

    id: str
    address: str
    is_self: bool
    index: int | None
    lag: int | None
    heard: float | None


@dataclass(frozen=True)
class ClusterStatus:
    """A cluster as one member sees it.

    :param state: ``cluster member``, or what it is on its way to be, such as ``joining cluster``
    :param role: ``leader``, ``follower`` or ``candidate``
    :param leader: address of the leader; None: it knows of none
    :param index: of the last entry of its log
    :param waiting: entries of its log that are not in its database yet
    :param asked: addresses of members that it asks to be let in, while it is not in its cluster yet
    :param entries: entries of its log that are not in its last snapshot
    """

    cluster_id: str
    server_id: str
    address: str
    state: str
    role: str
    term: int
    leader: str | None
    index: int
    waiting: int
    election_timer: int
    members: tuple[ClusterMember, ...]
    asked: tuple[str, ...] = ()
    entries: int = 0

    @property
    def is_let_in(self) -> bool:
        """Whether it is in its cluster, or was."""
        return self.state != _JOINS

    @property
    def silent(self) -> tuple[ClusterMember, ...]:
        """Members that are down or cut off, as the leader knows; none where another one was asked."""
        patience = max(_SILENCE, self.election_timer / 1000)
        others = (one for one in self.members if one.index is not None and not one.is_self)
        return tuple(one for one in others if one.heard is None or one.heard > patience)

    @property
    def serves(self) -> bool:
        """Whether a majority stands behind it, as far as it knows."""
        return self.state == _MEMBER and self.leader is not None


def parse_status(text: str) -> ClusterStatus:
    """What ``cluster/status`` of Open vSwitch 2.9 and newer prints.

    :raises ValueError: it is not that
    """
    fields = dict(_FIELD.findall(text))
    try:
        first, behind = map(int, fields["Log"].strip("[]").split(","))
        index = behind - 1
        is_leader = fields["Role"] == "leader"
        members = tuple(
            _member(one, where, rest, index if is_leader else None, fields["Leader"])
            for one, where, rest in _SERVER.findall(text)
        )
        leader = fields["Leader"]
        addresses = {member.id: member.address for member in members}
        return ClusterStatus(
            cluster_id=_long_id(fields.get("Cluster ID", "")),
            server_id=_long_id(fields["Server ID"]),
            address=fields["Address"],
            state=fields["Status"],
            role=fields["Role"],
            term=int(fields["Term"]),
            leader=fields["Address"] if leader == "self" else addresses.get(leader),
            index=index,
            waiting=int(fields["Entries not yet committed"]) + int(fields["Entries not yet applied"]),
            election_timer=int(fields.get("Election timer", "0")),
            members=members,
            asked=tuple(sorted(fields.get("Remotes for joining", "").split())),
            entries=behind - first,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"the status of the cluster cannot be read: {error!r}") from None


def what_it_waits_for(status: ClusterStatus, log: Iterable[str]) -> str | None:
    """Why a member is not in its cluster yet, in words; None: it is, or was.

    :param log: lines that its server has logged since it was started
    """
    if status.is_let_in:
        return None
    found = (match[1] for line in log if (match := _EVENT.search(line)) and not _PROGRESS.search(match[1]))
    error = next(reversed(list(found)), None)
    why = f"the last error is: {error}" if error else "there was no error: it may be that they know of no leader"
    return f"waits to be let into the cluster of {', '.join(status.asked)}; {why}"


def _long_id(text: str) -> str:
    """``5b2d (5b2d…-…)``: what is in the brackets; a cluster that is not known yet has none."""
    found = re.search(r"\(([0-9a-f-]{36})\)", text)
    return found[1] if found else ""


def _member(short_id: str, address: str, rest: str, index: int | None, leader: str) -> ClusterMember:
    """One line of ``Servers:``.

    :param index: of the leader, where the one that was asked is that
    :param leader: the leader, as the one that was asked names it
    """
    is_self = "(self)" in rest
    match = re.search(r"match_index=(\d+)", rest)
    has = None if index is None or match is None else index if is_self else int(match[1])
    heard = re.search(r"last msg (\d+) ms ago", rest)
    return ClusterMember(
        id=short_id,
        address=address,
        is_self=is_self,
        index=has,
        lag=None if has is None or index is None else max(0, index - has),
        heard=int(heard[1]) / 1000 if heard and leader in ("self", short_id) and not is_self else None,
    )
