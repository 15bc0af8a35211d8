"""What a member says of its cluster, read."""

from __future__ import annotations

import pytest

from topology.server.cluster_status import parse_status, what_it_waits_for
from topology.server.host_rights import narrow_addresses

LEADER = """\
2586
Name: Tunbridge_Topology
Cluster ID: 0923 (09230f4d-174e-4d53-bc5b-2b6d2b2ed1e1)
Server ID: 2586 (2586c514-4b67-481d-9bf7-ddb4dc0050ff)
Address: tcp:127.0.0.1:51119
Status: cluster member
Role: leader
Term: 3
Leader: self
Vote: self

Last Election started 21101 ms ago, reason: timeout
Last Election won: 21101 ms ago
Election timer: 1000
Log: [2, 6]
Entries not yet committed: 1
Entries not yet applied: 2
Connections: <-a997 ->a997 (->7311)
Disconnections: 1
Servers:
    7311 (7311 at ssl:[::1]:55567) next_index=6 match_index=4 last msg 15736 ms ago
    2586 (2586 at tcp:127.0.0.1:51119) (self) next_index=2 match_index=3
    a997 (a997 at tcp:127.0.0.1:40637) next_index=6 match_index=5 last msg 74 ms ago
"""
FOLLOWER = (
    LEADER.replace("Role: leader", "Role: follower")
    .replace("Leader: self", "Leader: a997")
    .replace(" next_index=6 match_index=4", "")
    .replace(" next_index=2 match_index=3", "")
    .replace(" next_index=6 match_index=5", "")
)
ENTERING = """\
07f7
Name: Tunbridge_Topology
Cluster ID: not yet known
Server ID: 07f7 (07f71641-c16e-40b2-974a-9dc0c34b959b)
Address: tcp:127.0.0.1:1
Status: joining cluster
Remotes for joining: tcp:127.0.0.1:2
Role: follower
Term: 0
Leader: unknown
Vote: unknown

Log: [1, 1]
Entries not yet committed: 0
Entries not yet applied: 0
Connections:
Disconnections: 0
Servers:
"""


def test_the_leader_knows_what_the_others_have() -> None:
    """Index and lag of each, and when it was last heard of."""
    status = parse_status(LEADER)
    assert status.entries == 4
    assert (status.role, status.term, status.leader, status.index, status.waiting) == (
        *("leader", 3, "tcp:127.0.0.1:51119"),
        *(5, 3),
    )
    assert status.serves and status.cluster_id.startswith("09230f4d-") and status.election_timer == 1000
    assert [(one.id, one.address, one.is_self, one.index, one.lag, one.heard) for one in status.members] == [
        ("7311", "ssl:[::1]:55567", False, 4, 1, 15.736),
        ("2586", "tcp:127.0.0.1:51119", True, 5, 0, None),
        ("a997", "tcp:127.0.0.1:40637", False, 5, 0, 0.074),
    ]


def test_a_follower_knows_who_leads() -> None:
    """And not what others have."""
    status = parse_status(FOLLOWER)
    assert (status.role, status.leader, status.serves) == ("follower", "tcp:127.0.0.1:40637", True)
    assert [(one.index, one.lag, one.heard) for one in status.members] == [(None, None, None)] * 2 + [
        (None, None, 0.074)
    ]


@pytest.mark.parametrize(
    "text",
    [ENTERING, FOLLOWER.replace("Leader: a997", "Leader: unknown"), LEADER.replace("cluster member", "left cluster")],
)
def test_without_a_majority_it_does_not_serve(text: str) -> None:
    """While it joins, while there is no leader, and when it has left."""
    assert not parse_status(text).serves


def test_one_that_has_not_found_its_cluster_has_no_id_of_it() -> None:
    """And knows of nobody."""
    status = parse_status(ENTERING)
    assert (status.cluster_id, status.leader, status.members, status.index) == ("", None, (), 0)


@pytest.mark.parametrize(
    "text", ["", "nonsense", LEADER.replace("Log: [2, 6]", "Log: [2]"), LEADER.replace("Term: 3", "Term: x")]
)
def test_what_is_no_status_is_refused(text: str) -> None:
    """Rather than shown by half."""
    with pytest.raises(ValueError, match="status of the cluster"):
        parse_status(text)


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        (LEADER, ["7311"]),
        (LEADER.replace(" last msg 74 ms ago", ""), ["7311", "a997"]),
        (LEADER.replace("Election timer: 1000", "Election timer: 20000"), []),
        (FOLLOWER, []),
        (ENTERING, []),
    ],
)
def test_the_leader_knows_who_is_silent(text: str, silent: list[str]) -> None:
    """By the election timer, where that is longer than usual; others do not know."""
    assert [one.id for one in parse_status(text).silent] == silent


LOG = """\
2026-11-28T19:40:00.000Z|00002|raft|INFO|term 0: starting
2026-11-28T19:40:00.001Z|00003|reconnect|INFO|tcp:127.0.0.1:2: connecting...
"""
REFUSED = (
    "2026-11-28T19:40:01.001Z|00004|reconnect|INFO|tcp:127.0.0.1:2: connection attempt failed (Connection refused)\n"
)


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("", "there was no error: it may be that they know of no leader"),
        (LOG[LOG.index("\n") + 1 :], "there was no error: it may be that they know of no leader"),
        (LOG + REFUSED, "the last error is: tcp:127.0.0.1:2: connection attempt failed (Connection refused)"),
        (
            LOG
            + REFUSED
            + REFUSED.split("|rec")[0]
            + "|reconnect|INFO|tcp:127.0.0.1:2: waiting 2 seconds before reconnect\n",
            "the last error is: tcp:127.0.0.1:2: connection attempt failed (Connection refused)",
        ),
    ],
)
def test_one_that_is_not_let_in_says_whom_it_asks_and_what_failed(log: str, why: str) -> None:
    """What ovsdb-server logs of attempts is no error."""
    assert what_it_waits_for(parse_status(ENTERING), log.splitlines()) == (
        f"waits to be let into the cluster of tcp:127.0.0.1:2; {why}"
    )
    assert what_it_waits_for(parse_status(FOLLOWER), log.splitlines()) is None


@pytest.mark.parametrize(
    ("listen", "narrow"),
    [
        (["ssl:0.0.0.0:6642"], None),
        (["ssl:[::]:6642", "ssl:0.0.0.0:6642"], None),
        (["ssl:192.0.2.1:6642"], "ssl:192.0.2.1:6642"),
        (["ssl:[2001:db8::1]:6642", "ssl:0.0.0.0:6643"], "ssl:[2001:db8::1]:6642"),
    ],
)
def test_addresses_of_one_machine(listen: list[str], narrow: str | None) -> None:
    """Which other members of a cluster cannot have."""
    told = narrow_addresses(listen)
    assert (told is None) == (narrow is None)
    assert told is None or f"listen = {narrow}: " in told
