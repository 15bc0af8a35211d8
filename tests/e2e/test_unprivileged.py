"""A controller that is not root, on an Open vSwitch whose sockets were given to its group."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.private_ovs import Datapath
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import HUBS, Tunbridge

UID = GID = 64646
"""Nobody's on a machine that follows the policy of Debian; in no file of users."""

PORT = {"id": "00000000-0000-4000-8000-000000000001", "mac_address": "fa:16:3e:00:00:01"}
NETWORK = {"name": "net1", "provider:network_type": "gre", "provider:segmentation_id": 2}
DOCUMENT = {"networks": [{**NETWORK, "ports": [PORT]}]}


class GroupOvs(OvsHost):
    """Its daemons run as root with a group and a umask, as packaging/systemd/openvswitch.conf has it."""

    def start(self) -> None:
        self.directory.chmod(0o755)
        mask, group = os.umask(0o007), os.getegid()
        os.setegid(GID)
        try:
            super().start()
        finally:
            os.setegid(group)
            os.umask(mask)


class UnprivilegedTunbridge(Tunbridge):
    """Runs, and is asked, as a user that is nobody."""

    prefix = ("setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")

    def __init__(self, ovs: OvsHost, **arguments: object) -> None:
        super().__init__(ovs, **arguments)  # type: ignore[arg-type]
        os.chown(self.directory, UID, GID)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody may look into."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=HUBS)
def hub(request: pytest.FixtureRequest) -> str:
    """Both hubs."""
    return str(request.param)


def test_all_works_without_root(hub: str) -> None:
    """Bridges are made, a port is bound, and the commands of the same user answer; no process of it is root's."""
    with GroupOvs(Datapath.DUMMY) as ovs, UnprivilegedTunbridge(ovs, hub=hub) as controller:
        controller.wait_in_sync()
        controller.command("apply", str(controller.written(DOCUMENT)))
        ovs.plug("tap1", PORT["id"], PORT["mac_address"])
        controller.wait_device("tap1", status="ACTIVE")
        assert controller.status()["in_sync"]
        status = Path(f"/proc/{controller.pid}/status").read_text()
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}\n" in status
        assert "CapEff:\t0000000000000000\n" in status and "CapBnd:\t0000000000000000\n" in status


def test_without_access_it_says_what_to_do_and_waits(hub: str) -> None:
    """One line names the socket, whose it is and what helps; with access, it serves without being started again."""
    with OvsHost(Datapath.DUMMY) as ovs:
        ovs.directory.chmod(0o755)
        with UnprivilegedTunbridge(ovs, hub=hub) as controller:
            mode = f"{ovs.db_sock.stat().st_mode & 0o7777:04o}"
            controller.wait_log(
                f"Open_vSwitch at {ovs.db}: no answer, trying again until there is one (user {UID} may not open it: it "
                f"is root:root's with mode {mode}; give its server a group of this user and umask 0007, or run as "
                "another user)"
            )
            assert controller.log_text().count("may not open it") == 1
            assert controller.quick_status()["ovsdb"] == {"connected": False}
            os.chown(ovs.db_sock, 0, GID)
            ovs.db_sock.chmod(0o770)
            controller.wait_in_sync()


def test_a_place_that_is_not_its_own(home: Path) -> None:
    """A run_path that this user may not make is an error of one line, and nothing was started."""
    with GroupOvs(Datapath.DUMMY) as ovs:
        options = {"DEFAULT": {"run_path": home / "run"}}
        controller = UnprivilegedTunbridge(ovs, options=options, check=False, ready=False)
        controller.start()
        assert controller.wait_ended() == 1
        assert f"cannot make the control socket {home}/run/control.sock: Permission denied" in controller.log_text()
        assert ovs.vsctl("list-br") == ""
        shutil.rmtree(controller.directory)
