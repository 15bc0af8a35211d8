"""OpenFlow on unix sockets: a real Open vSwitch connects by them, and nobody else does."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORT = "5b8f0e63-3a38-4f1c-9a2e-000000000101"
UNIX = {"ovs": {"of_listen_method": "unix"}}
DESC_XID = 4
"""The controller's for its first question who the peer is."""
ANOTHER = "another controller serves this bridge"
Start = Callable[..., Tunbridge]


def path(ovs: OvsHost, bridge: str) -> Path:
    return ovs.rundir / f"{bridge}.tunbridge"


def mode(file: Path) -> int:
    return stat.S_IMODE(file.lstat().st_mode)


def apply_port(tunbridge: Tunbridge) -> None:
    network = {"name": "net1", "id": NETWORK, "provider:network_type": "gre", "ports": [{"id": PORT}]}
    tunbridge.apply({"networks": [network]})


def test_bridges_connect_by_their_sockets_and_nobody_by_tcp(ovs: OvsHost, tunbridge: Start) -> None:
    """A port is bound; the sockets are private, and gone after a clean stop."""
    started = tunbridge(options=UNIX)
    apply_port(started)
    started.wait_in_sync()
    ovs.plug("tap1", PORT)
    started.wait_port(PORT)
    for bridge in ("br-int", "br-tun"):
        assert ovs.vsctl("get-controller", bridge).split() == [f"unix:{bridge}.tunbridge"]
        assert mode(path(ovs, bridge)) == 0o600
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", started.of_port)) != 0
    started.stop()
    assert not path(ovs, "br-int").exists()
    assert not path(ovs, "br-tun").exists()
    started.start()
    started.wait_in_sync()


def test_a_socket_that_a_killed_controller_left_is_replaced(ovs: OvsHost, tunbridge: Start) -> None:
    """The next start listens there."""
    started = tunbridge(options=UNIX)
    started.wait_in_sync()
    started.kill9()
    assert path(ovs, "br-int").is_socket()
    started.start()
    started.wait_in_sync()


def test_the_method_may_change_and_no_flow_is_touched(ovs: OvsHost, tunbridge: Start) -> None:
    """The controller of the old method goes, on physical bridges too, where those of others stay."""
    ovs.vsctl("add-br", "br-ex", "--", "set-controller", "br-ex", "tcp:192.0.2.99:6653")
    started = tunbridge(options={"ovs": {"bridge_mappings": "physnet1:br-ex"}})
    apply_port(started)
    started.wait_in_sync()
    ovs.plug("tap1", PORT)
    started.wait_port(PORT)
    ours = f"tcp:127.0.0.1:{started.of_port}"
    assert set(ovs.vsctl("get-controller", "br-ex").split()) == {"tcp:192.0.2.99:6653", ours}
    flows = ovs.dump("br-tun", cookies=True)
    started.stop()
    with started.config_file.open("a") as file:
        file.write("[ovs]\nof_listen_method = unix\n")
    started.start()
    started.wait_in_sync()
    assert set(ovs.vsctl("get-controller", "br-ex").split()) == {"tcp:192.0.2.99:6653", "unix:br-ex.tunbridge"}
    assert ovs.vsctl("get-controller", "br-int").split() == ["unix:br-int.tunbridge"]
    assert started.wait_in_sync()["counters"]["flow_mods"] == 0
    assert ovs.dump("br-tun", cookies=True) == flows


def test_a_session_is_of_the_bridge_whose_socket_it_came_by(ovs: OvsHost, tunbridge: Start) -> None:
    """One that shows another bridge's datapath id and serial number is refused with both names; the bridge goes on."""
    started = tunbridge(options=UNIX)
    datapath_id = int(str(started.wait_in_sync()["bridges"]["br-int"]["datapath_id"]), 16)
    serial = ovs.vsctl("get", "bridge", "br-int", "other_config:dp-sn").strip().strip('"')
    connected = started.log_text().count("bridge br-int connected (")
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.settimeout(60)
        impostor.connect(str(path(ovs, "br-tun")))
        impostor.sendall(HELLO + features_reply(datapath_id) + desc_reply(serial, DESC_XID))
        while impostor.recv(4096):
            pass
    started.wait_log("it came by the socket of bridge br-tun with the datapath id of br-int")
    assert f"{path(ovs, 'br-tun')} (pid {os.getpid()})" in started.log_text()
    started.wait_in_sync()
    assert started.log_text().count("bridge br-int connected (") == connected


def test_the_socket_of_a_live_controller_is_not_stolen(ovs: OvsHost, tunbridge: Start) -> None:
    """The second one ends with one line and status 1, before it has touched anything; the first goes on."""
    first = tunbridge(options=UNIX)
    first.wait_in_sync()
    second = tunbridge(options=UNIX, check=False, ready=False)
    where = f"cannot listen for OpenFlow at {path(ovs, 'br-int')} ([ovs] of_listen_method = unix)"
    second.wait_log(f"tunbridge: {where}: {ANOTHER}")
    assert first.wait_in_sync()["bridges"]["br-int"]["connected"]
    ovs.appctl("bridge/reconnect")
    wait_until(lambda: first.log_text().count("bridge br-tun connected (") >= 2, 20, first.log_tail)


def test_what_is_no_socket_is_left_alone(ovs: OvsHost, tunbridge: Start) -> None:
    """A file of somebody else's is not removed."""
    path(ovs, "br-tun").write_text("mine")
    started = tunbridge(options=UNIX, check=False, ready=False)
    started.wait_log("something else is there, remove it")
    assert path(ovs, "br-tun").read_text() == "mine"
    wait_until(lambda: not path(ovs, "br-int").exists(), 20, "what was taken before is given back")


def test_a_group_that_may_write_to_the_directory_may_connect(ovs: OvsHost, tunbridge: Start) -> None:
    """Who could put a socket of his own there gains nothing."""
    ovs.rundir.chmod(0o770)
    started = tunbridge(options=UNIX)
    started.wait_in_sync()
    assert mode(path(ovs, "br-int")) == 0o660


CONNECT = "import socket, sys; sys.exit(socket.socket(socket.AF_UNIX).connect_ex(sys.argv[1]))"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_pose_as_a_bridge(ovs: OvsHost, tunbridge: Start) -> None:
    """The directory lets him see the socket, and the socket does not let him in."""
    ovs.rundir.chmod(0o755)
    started = tunbridge(options=UNIX)
    started.wait_in_sync()
    for user, status in ((0, 0), (65534, errno.EACCES)):
        done = subprocess.run(["/usr/bin/python3", "-c", CONNECT, str(path(ovs, "br-int"))], user=user, cwd="/")
        assert done.returncode == status
