"""The conditions by which a host follows what concerns it: a function of what is known, and of no order."""

from __future__ import annotations

import uuid
from pathlib import Path

from ovs.db.idl import SchemaHelper
from ovs.poller import Poller

from topology.database.host_scope import NetworkRow, conditions
from topology.database.tables import SCHEMA
from topology.ovsdb.following_idl import FollowingIdl

N1, N2, S1, S2, B1, A1 = (uuid.UUID(int=number) for number in range(1, 7))
MINE, OTHER = NetworkRow("n1", (S1,), (B1,)), NetworkRow("n2", (S2,), ())
ALWAYS = [["host", "==", ["set", ["h1"]]], ["requested_host", "==", ["set", ["h1"]]]]


def ref(row: uuid.UUID) -> list[str]:
    return ["uuid", str(row)]


def test_a_host_without_ports_follows_what_is_meant_for_it() -> None:
    assert conditions("h1", (), {}, (), ()) == {
        "Port": ALWAYS, "Network": [], "Segment": [], "Subnet": [], "IpAllocation": []
    }  # fmt: skip


def test_networks_are_followed_whole_and_missing_ports_by_their_ids() -> None:
    """Also the segments and subnets of a network of others that is there, but not its ports."""
    found = conditions("h1", [N1], {N2: OTHER, N1: MINE}, ["p9", "p8"], ["n9"], [("IpAllocation", A1)])
    assert found["Port"] == [*ALWAYS, ["network", "==", ref(N1)], ["id", "==", "p8"], ["id", "==", "p9"]]
    assert found["Network"] == [["_uuid", "==", ref(N1)], ["segments", "==", ref(S1)], ["id", "==", "n9"]]
    assert found["Segment"] == [["_uuid", "==", ref(S1)], ["_uuid", "==", ref(S2)]]
    assert found["Subnet"] == [["_uuid", "==", ref(B1)]]
    assert found["IpAllocation"] == [["subnet", "==", ref(B1)], ["_uuid", "==", ref(A1)]]


def test_conditions_do_not_depend_on_the_order_in_which_things_came() -> None:
    known = {N1: MINE, N2: OTHER}
    assert conditions("h1", [N1, N2], known, ["a", "b"], ["c", "d"]) == conditions(
        "h1", [N2, N1], dict(reversed(known.items())), ["b", "a"], ["d", "c"]
    )


def test_conditions_that_cannot_be_sent_yet_keep_nobody_awake(tmp_path: Path) -> None:
    """While the server is down, a copy with conditions sleeps like one without."""
    helper = SchemaHelper(location=str(SCHEMA))
    helper.register_table("Port")
    idl = FollowingIdl(f"unix:{tmp_path / 'nobody'}", helper, deliver=lambda changes: None, leader_only=True)
    idl.cond_change("Port", [["id", "==", "p1"]])
    idl.run()
    idl.run()
    poller = Poller()
    idl.wait(poller)
    assert poller.timeout != 0
    assert idl.cond_changed
    idl.close()
