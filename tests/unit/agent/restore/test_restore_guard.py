"""What a host keeps of the topology when its database is an older copy."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from controller.agent.restore.restore_guard import RestoreGuard, SavedState
from controller.agent.restore.state_file import FILE, StateFile
from tests.support.logs import lines_of
from topology.model import Host, Network, NetworkType, Port, PortStatus, Subnet
from topology.source import TopologyBatch, TopologyVersion

HOST = "host1"
E0, E1 = "00000000-0000-4000-8000-0000000000e0", "00000000-0000-4000-8000-0000000000e1"
SUBNET = Subnet("00000000-0000-4000-8000-0000000000b1", "10.0.0.0/24")
NET = Network("00000000-0000-4000-8000-0000000000a1", NetworkType.GRE, 2, name="web")
PORT = Port("00000000-0000-4000-8000-0000000000c1", NET.id, "fa:16:3e:00:00:01", host=HOST, status=PortStatus.ACTIVE)


def batch(revision: int, *things: Network | Port, database: str = E0, complete: bool = True) -> TopologyBatch:
    """What the topology says."""
    return TopologyBatch(
        complete,
        {thing.id: thing for thing in things if isinstance(thing, Network)},
        {thing.id: thing for thing in things if isinstance(thing, Port)},
        version=TopologyVersion(database, revision),
    )


@pytest.fixture
def guard() -> RestoreGuard:
    """A host on which :data:`PORT` is bound, and that has seen revision 9."""
    made = RestoreGuard(HOST, SavedState())
    made.correct(batch(9, NET, PORT))
    made.bound([(PORT, NET)])
    return made


def believed(taken: TopologyBatch) -> tuple[list[Network | None], list[Port | None]]:
    return list(taken.networks.values()), list(taken.ports.values())


def test_an_older_copy_takes_nothing_away(guard: RestoreGuard, caplog: pytest.LogCaptureFixture) -> None:
    """What runs here stays, is to be written back, and the log says once how much and what it is."""
    caplog.set_level(logging.WARNING)
    assert believed(guard.correct(batch(5))) == ([NET], [PORT])
    wanted = guard.wanted()
    assert wanted is not None
    assert (wanted.networks, wanted.ports, wanted.renew) == ({NET.id: NET}, {PORT.id: PORT}, E0)
    [line] = lines_of(caplog, "controller.agent.restore.restore_guard")
    assert "older copy" in line and "1 networks and 1 ports" in line and f"network {NET.id} (web)" in line


def test_a_backup_that_is_restored_under_the_connection_takes_nothing_away(guard: RestoreGuard) -> None:
    """ovsdb-client restore replaces all rows in one transaction, which arrives as changes like others."""
    gone = TopologyBatch(False, {NET.id: None}, {PORT.id: None}, version=TopologyVersion(E1, 5))
    assert believed(guard.correct(gone)) == ([NET], [PORT])
    wanted = guard.wanted()
    assert wanted is not None and (wanted.networks, wanted.ports, wanted.renew) == (
        {NET.id: NET},
        {PORT.id: PORT},
        None,
    )


def test_an_identity_that_another_host_renews_is_no_restoration(guard: RestoreGuard) -> None:
    """What is deleted in the same breath stays deleted."""
    gone = TopologyBatch(False, {}, {PORT.id: None}, version=TopologyVersion(E1, 10))
    assert guard.correct(gone) == gone
    assert guard.wanted() is None


@pytest.mark.parametrize("version", [(9, E0), (10, E0)], ids=["same", "newer"])
def test_what_a_newer_topology_lacks_was_deleted(guard: RestoreGuard, version: tuple[int, str]) -> None:
    """A deletion counts: nothing is kept, nothing is written back, and nothing is remembered of it."""
    revision, database = version
    assert believed(guard.correct(batch(revision, database=database))) == ([], [])
    assert guard.wanted() is None
    memory = guard.changed()
    assert memory is not None and not memory.ports and not memory.networks


def test_a_deletion_while_connected_counts(guard: RestoreGuard) -> None:
    """A port that goes while the topology is followed is forgotten, and its network with the last one."""
    gone = TopologyBatch(False, {NET.id: None}, {PORT.id: None}, version=TopologyVersion(E0, 10))
    assert guard.correct(gone) == gone
    assert believed(guard.correct(batch(5))) == ([], [])


@pytest.mark.parametrize("database", [E1, None], ids=["another", "none"])
def test_another_database_is_an_older_copy_too(guard: RestoreGuard, database: str | None) -> None:
    """One that was restored and has caught up since, or an empty one: its identity tells."""
    other = batch(50, database=database) if database is not None else TopologyBatch(True)
    assert believed(guard.correct(other)) == ([NET], [PORT])
    wanted = guard.wanted()
    assert wanted is not None and wanted.renew is None


def test_the_first_revision_that_is_seen_is_no_news() -> None:
    """A host that has seen none yet has nothing to hold against it."""
    made = RestoreGuard(HOST, SavedState(ports={PORT.id: PORT}, networks={NET.id: NET}))
    assert believed(made.correct(batch(1))) == ([], [])


def test_an_older_form_gives_way_to_the_one_that_runs(guard: RestoreGuard) -> None:
    """Network, MAC address and claim stay as they run; a subnet that only the older form has is kept with it."""
    older = replace(NET, segmentation_id=7, subnets=(SUBNET,))
    claimed = replace(PORT, mac_address="fa:16:3e:00:00:99", host="host2")
    merged = replace(NET, subnets=(SUBNET,))
    assert believed(guard.correct(batch(5, older, claimed))) == ([merged], [PORT])
    wanted = guard.wanted()
    assert wanted is not None and (wanted.networks, wanted.ports) == ({NET.id: merged}, {PORT.id: PORT})


def test_a_claim_alone_is_overridden(guard: RestoreGuard) -> None:
    """A port that came here after the backup is not given to the host that it came from."""
    moved = replace(PORT, host="host2")
    assert believed(guard.correct(batch(5, NET, moved))) == ([NET], [PORT])
    free = TopologyBatch(False, ports={PORT.id: replace(PORT, host=None)})
    assert guard.correct(free) == free
    guard.written({})
    assert guard.wanted() is None


def test_same_content_is_left_alone(guard: RestoreGuard) -> None:
    """Only the identity is renewed where the copy lacks nothing of what runs here."""
    assert believed(guard.correct(batch(5, NET, replace(PORT, status=PortStatus.DOWN, host=None))))[0] == [NET]
    wanted = guard.wanted()
    assert wanted is not None and (wanted.networks, wanted.ports, wanted.renew) == ({}, {}, E0)
    guard.written({})
    assert guard.wanted() is None


def test_overridden_until_the_database_says_something_else(guard: RestoreGuard) -> None:
    """Reports of hosts do not end a hold; what is written back, or what somebody applies, does."""
    older = replace(PORT, mac_address="fa:16:3e:00:00:99")
    guard.correct(batch(5, NET, older))
    reported = batch(6, replace(older, host=None, status=PortStatus.DOWN), complete=False)
    assert believed(guard.correct(reported))[1] == [PORT]
    assert believed(guard.correct(batch(6, NET, older)))[1] == [PORT], "and over a reconnection"
    applied = replace(PORT, mac_address="fa:16:3e:00:00:55")
    assert believed(guard.correct(batch(7, applied, complete=False)))[1] == [applied]
    guard.written({})
    assert guard.wanted() is None


def test_a_deletion_in_the_older_copy_counts(guard: RestoreGuard) -> None:
    """Who deletes a port after the restoration means it."""
    older = replace(PORT, mac_address="fa:16:3e:00:00:99")
    guard.correct(batch(5, NET, older))
    gone = TopologyBatch(False, ports={PORT.id: None})
    assert guard.correct(gone) == gone


def test_what_cannot_be_written_back_is_a_problem_until_it_can(
    guard: RestoreGuard, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept, said in log and status with the reason, and tried again with every change."""
    guard.correct(batch(5))
    for _ in range(2):
        guard.written({NET.id: "segmentation_id 2 is taken", PORT.id: "its network cannot be written"})
    assert caplog.text.count("segmentation_id 2 is taken") == 1
    assert [NET.id in problem and "segmentation_id 2" in problem for problem in guard.problems] == [True, False]
    wanted = guard.wanted()
    assert wanted is not None and (wanted.networks.keys(), wanted.renew) == ({NET.id}, None)
    guard.correct(batch(6, NET, replace(PORT, host=None), complete=False))
    assert guard.problems == ()


def test_a_restart_in_the_middle_changes_nothing(guard: RestoreGuard) -> None:
    """What is held is held after a restart too, though the revision is not lower than the last one seen any more."""
    guard.correct(batch(5))
    memory = guard.changed()
    assert memory is not None
    again = RestoreGuard(HOST, memory)
    assert again.changed() is None
    assert believed(again.correct(batch(5))) == ([NET], [PORT])
    assert again.wanted() is not None
    assert believed(again.correct(batch(6, NET, PORT, complete=False))) == ([NET], [PORT])


def test_other_hosts_keep_their_tunnels(guard: RestoreGuard, caplog: pytest.LogCaptureFixture) -> None:
    """One that the older copy lacks, or has with another address, is as it was until the database says otherwise."""
    caplog.set_level(logging.WARNING)
    h2, h3, moved = Host("h2", ("192.0.2.2",)), Host("h3", ("192.0.2.3",)), Host("h3", ("192.0.2.33",))
    me = Host(HOST, ("192.0.2.1",))
    guard.correct(TopologyBatch(False, hosts={"h2": h2, "h3": h3, HOST: me}))
    older = replace(batch(5, NET, PORT), hosts={"h3": moved})
    taken = guard.correct(older)
    assert (taken.hosts, guard.is_older) == ({"h2": h2, "h3": h3}, True)
    assert "2 other hosts are, and keep their tunnels" in caplog.text
    wanted = guard.wanted()
    assert wanted is not None and wanted.hosts == {"h2": h2}
    memory = guard.changed()
    assert memory is not None
    for one in (guard, RestoreGuard(HOST, memory)):
        assert one.correct(replace(older, version=TopologyVersion(E0, 5))).hosts == {"h2": h2, "h3": h3}
        assert not one.is_older
        assert one.correct(TopologyBatch(False, hosts={"h2": h2, "h3": None})).hosts == {"h2": h2, "h3": None}
        assert one.correct(replace(batch(6, NET, PORT), hosts={})).hosts == {}, "deleted"


@pytest.mark.parametrize("older", [None, Host("h2")])
def test_a_host_of_which_only_the_older_copy_is_saved_counts_as_unknown(older: Host | None) -> None:
    """As somebody may have written it into the file."""
    saved = SavedState(TopologyVersion(E0, 9), {NET.id: NET}, {PORT.id: PORT}, {}, {}, {"h2": older})
    for revision in (9, 5, 10):
        made = RestoreGuard(HOST, saved)
        hosts = {"h2": Host("h2")}
        taken = made.correct(replace(batch(revision, NET, PORT), hosts=hosts, complete=revision != 9))
        assert taken.hosts == hosts
        wanted = made.wanted()
        assert wanted is None or not wanted.hosts


def test_what_hosts_tell_anew_is_no_difference(guard: RestoreGuard) -> None:
    """Not in the state file, which an older version reads too; what an older copy has of it is believed."""
    told = Host("h2", ("192.0.2.2",), vxlan_udp_port=4789, lacks_local_ip=True)
    guard.correct(TopologyBatch(False, hosts={"h2": told}))
    memory = guard.changed()
    assert memory is not None
    text = StateFile(Path(FILE))._encode(memory)
    assert "vxlan_udp_port" not in text and "lacks_local_ip" not in text
    older = replace(batch(5, NET, PORT), hosts={"h2": replace(told, lacks_local_ip=False)})
    assert guard.correct(older).hosts == {"h2": replace(told, lacks_local_ip=False)}


def test_a_port_that_is_bound_elsewhere_is_that_hosts(guard: RestoreGuard) -> None:
    """It is not written back from here any more."""
    guard.correct(batch(10, replace(PORT, host="host2"), complete=False))
    assert believed(guard.correct(batch(5))) == ([], [])


def test_newer_forms_are_remembered(guard: RestoreGuard) -> None:
    """A name that changes while the port stays bound is what is written back later."""
    renamed = replace(PORT, name="db")
    guard.correct(batch(10, renamed, complete=False))
    assert believed(guard.correct(batch(5))) == ([NET], [renamed])
