"""What the other tests here stand on: a switch that is real, alone, and gone afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from scripts.private_ovs import PrivateOvs
from scripts.processes import ProcessError
from tests.support import reference
from tests.support.host.ovs import Device, OvsHost


def _processes_with(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words:
            found.append(words)
    return found


def test_nothing_is_left_of_a_host_not_even_after_a_failure() -> None:
    with pytest.raises(RuntimeError, match="the test failed"), OvsHost() as host:
        assert len(_processes_with(str(host.directory))) == 2
        raise RuntimeError("the test failed")
    assert _processes_with(str(host.directory)) == []
    assert not host.directory.exists()


def test_a_daemon_that_does_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "x"
    directory.mkdir()
    (directory / "conf.db").write_text("this is no database")
    ovs = PrivateOvs(directory)
    with pytest.raises(ProcessError, match=r"(?s)^ovsdb-server ended with status 1\n.*conf\.db"):
        ovs.start()
    assert _processes_with(str(directory)) == []


def test_a_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="too long for unix sockets"):
        PrivateOvs(tmp_path / ("x" * 90))


def test_a_command_that_fails_says_what_and_why(ovs: OvsHost) -> None:
    with pytest.raises(ProcessError, match=r"ovs-vsctl .*br-none.*: status 1: .*no bridge named br-none"):
        ovs.vsctl("list-ports", "br-none")


def test_the_reference_host_has_its_ofports(ovs: OvsHost) -> None:
    """With nothing requested; ``patch-tun``, added later as a controller adds it, gets 6."""
    reference.reference_host(ovs)
    ovs.vsctl(
        *("add-port", "br-int", "patch-tun", "--", "set", "Interface", "patch-tun"),
        *("type=patch", "options:peer=patch-int", "--", "add-br", "br-tun", "--", "add-port", "br-tun", "patch-int"),
        *("--", "set", "Interface", "patch-int", "type=patch", "options:peer=patch-tun"),
    )
    assert {device.name: ovs.ofport(device.name) for device in reference.DEVICES} == reference.OFPORTS
    assert ovs.ofport("patch-tun") == reference.PATCH_TUN_OFPORT
    assert ovs.ofport("patch-int") == reference.PATCH_INT_OFPORT
    assert ovs.row("Interface", reference.VM.name)["external_ids"] == {
        "attached-mac": "fa:16:3e:02:dd:79",
        "iface-id": "99f91280-a060-442e-90b0-d8324e50efc8",
        "iface-status": "active",
        "vm-uuid": "50ab650a-289c-4b84-b9f6-9e6c93516a4b",
    }


def test_a_dump_is_sorted_as_tables_are_rendered(ovs: OvsHost) -> None:
    ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "fail_mode=secure")
    for flow in (
        "cookie=0x9,priority=1,actions=drop",
        "cookie=0x1,priority=20,in_port=3,actions=drop",
        "priority=20,in_port=12,actions=normal",
        "table=2,priority=30,actions=drop",
        "in_port=1,actions=drop",
    ):
        ovs.ofctl("add-flow", "br-int", flow)
    assert ovs.dump("br-int", cookies=True) == [
        "in_port=1 actions=drop",
        "priority=20,in_port=12 actions=NORMAL",
        "cookie=0x1, priority=20,in_port=3 actions=drop",
        "cookie=0x9, priority=1 actions=drop",
        "table=2, priority=30 actions=drop",
    ]
    assert ovs.dump("br-int")[2:4] == ["priority=20,in_port=3 actions=drop", "priority=1 actions=drop"]
    assert "Datapath actions: drop" in ovs.trace("br-int", "in_port=3")


def test_ports_come_back_with_a_killed_vswitchd_and_its_database(ovs: OvsHost) -> None:
    ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "fail_mode=secure")
    ovs.plug_many(Device(f"tap{number}", f"port-{number}", ofport_request=10 + number) for number in range(3))
    ovs.ofctl("add-flow", "br-int", "priority=1,actions=normal")
    ovs.restart_ovsdb_server(signal.SIGKILL)
    assert ovs.dump("br-int") == ["priority=1 actions=NORMAL"]
    ovs.restart_vswitchd(signal.SIGKILL)
    assert ovs.dump("br-int") == []
    ovs.unplug("tap0", "tap2")
    assert ovs.plug("tap9", "port-9", "fa:16:3e:00:00:09", ofport_request=9, iface_status="active") == 9
    assert ovs.vsctl("list-ports", "br-int").split() == ["tap1", "tap9"]
    assert (ovs.ofport("tap1"), ovs.tag("tap1")) == (11, None)
    assert ovs.row("Interface", "tap9")["external_ids"] == {
        "attached-mac": "fa:16:3e:00:00:09",
        "iface-id": "port-9",
        "iface-status": "active",
    }
