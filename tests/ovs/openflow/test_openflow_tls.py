"""OpenFlow over TLS: a real Open vSwitch with real certificates, peers with wrong ones, and files that are replaced."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import EXPIRED, REFUSALS, Authority, Identity, Pki, Replaceable
from tests.support.host.ovs import OvsHost
from tests.support.host.tls_client import client_context, old_context, talk
from tests.support.host.tunbridge import Tunbridge
from tests.support.issued import IssuedCertificates, tls
from tests.support.waiting import wait_until

NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORTS = [f"5b8f0e63-3a38-4f1c-9a2e-0000000001{number:02x}" for number in range(20)]
CONNECT_TIMEOUT = 10  # seconds; who is refused for another reason is so long before, on a busy machine too
Start = Callable[..., Tunbridge]


def set_ssl(ovs: OvsHost, identity: Identity) -> None:
    """Give Open vSwitch its certificate, as an operator does."""
    ovs.vsctl("set-ssl", str(identity.key), str(identity.certificate), str(identity.ca_cert))


def options(identity: Identity, **more: object) -> dict[str, dict[str, object]]:
    return {"ovs": identity.options(of_listen_method="ssl", of_connect_timeout=CONNECT_TIMEOUT, **more)}


def apply_ports(tunbridge: Tunbridge) -> None:
    network = {"name": "net1", "id": NETWORK, "provider:network_type": "gre"}
    tunbridge.apply({"networks": [network | {"ports": [{"id": port_id} for port_id in PORTS]}]})


class Secured:
    """A controller behind TLS whose bridges are connected, with ports to plug."""

    def __init__(self, ovs: OvsHost, tunbridge: Tunbridge) -> None:
        self.ovs = ovs
        self.tunbridge = tunbridge
        self._left = iter(PORTS)

    def serves(self) -> None:
        """Plug one more port, and wait until it is up."""
        port_id = next(self._left)
        self.ovs.plug(f"tap{port_id[-2:]}", port_id)
        self.tunbridge.wait_port(port_id, timeout=20)

    def reason(self, peer: str) -> str:
        """What the one line of the log says of a peer that was refused."""
        line = f"WARNING controller.openflow.channel.limits OpenFlow connection of {peer} ended: "
        self.tunbridge.wait_log(line)
        [said] = [text for text in self.tunbridge.log_text().splitlines() if f"{peer} " in text]
        return said.partition(line)[2]


@pytest.fixture(scope="module")
def secured(hub: str, pki: Pki) -> Iterator[Secured]:
    with OvsHost() as ovs:
        set_ssl(ovs, pki.authority.certify("switch"))
        ovs.vsctl("add-br", "br-int", "--", "set-controller", "br-int", "tcp:127.0.0.1:6653")
        with Tunbridge(ovs, hub=hub, options=options(pki.right, ssl_peer_name="")) as tunbridge:
            apply_ports(tunbridge)
            tunbridge.wait_in_sync()
            yield Secured(ovs, tunbridge)


def test_bridges_connect_and_ports_are_bound(secured: Secured) -> None:
    """All that works over TCP works over TLS; a controller that was set before is replaced."""
    secured.serves()
    target = f"ssl:127.0.0.1:{secured.tunbridge.of_port}"
    assert secured.ovs.vsctl("get-controller", "br-int").split() == [target]
    assert secured.ovs.vsctl("get-controller", "br-tun").split() == [target]
    status = secured.tunbridge.wait_in_sync()
    assert {name for name, bridge in status["bridges"].items() if bridge["connected"]} == {"br-int", "br-tun"}


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_peer_with_a_wrong_certificate_is_refused(secured: Secured, pki: Pki, wrong: str) -> None:
    """One line names the peer and the reason; not one byte of OpenFlow goes to it."""
    peer, failure = talk(secured.tunbridge.of_port, client_context(pki.wrong[wrong]))
    assert failure
    assert secured.reason(peer) == f"no TLS: {REFUSALS[wrong]}"
    secured.serves()


def test_a_peer_with_the_right_certificate_is_heard(secured: Secured, pki: Pki) -> None:
    """The peers above are refused for their certificates, not for anything else."""
    assert talk(secured.tunbridge.of_port, client_context(pki.right))[1] == ""


def test_a_peer_without_a_certificate_is_refused(secured: Secured) -> None:
    """To speak TLS is not enough."""
    peer, failure = talk(secured.tunbridge.of_port, client_context(None))
    assert failure
    assert secured.reason(peer) == "no TLS: the peer showed no certificate"


def test_old_tls_is_refused(secured: Secured, pki: Pki) -> None:
    """TLS 1.2 is the oldest that is spoken, whatever the machine's OpenSSL would allow."""
    peer, failure = talk(secured.tunbridge.of_port, old_context(pki.right))
    assert failure
    assert secured.reason(peer) == "no TLS: the peer offers nothing newer than TLS 1.1"


def test_a_peer_that_speaks_plain_openflow_is_refused(secured: Secured) -> None:
    """The line says what is the matter."""
    with socket.create_connection(("127.0.0.1", secured.tunbridge.of_port), timeout=60) as sock:
        sock.sendall(bytes.fromhex("0400000800000001"))
        while sock.recv(4096):
            pass
        host, port = sock.getsockname()
    assert secured.reason(f"{host}:{port}") == "no TLS: the peer does not speak TLS"


def test_peers_that_stall_in_the_handshake_hold_nobody_up(secured: Secured) -> None:
    """Bridges connect anew and ports are bound while they stall; each is let go in the time for the handshake."""
    connected = secured.tunbridge.log_text().count("bridge br-tun connected (")
    with ExitStack() as stack:
        peers = []
        for half in (b"", b"\x16\x03\x01\x02\x00\x01\x00") * 20:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", secured.tunbridge.of_port), timeout=60))
            sock.sendall(half)
            peers.append(sock)
        secured.ovs.appctl("bridge/reconnect", "br-tun")
        wait_until(
            lambda: secured.tunbridge.log_text().count("bridge br-tun connected (") > connected,
            20,
            secured.tunbridge.log_tail,
        )
        secured.serves()
        for sock in peers:
            while sock.recv(4096):
                pass
            host, port = sock.getsockname()
            expected = f"no TLS handshake within {CONNECT_TIMEOUT} s ([ovs] of_connect_timeout)"
            assert secured.reason(f"{host}:{port}") == expected


def test_a_switch_whose_certificate_expired_connects_once_it_is_replaced(
    ovs: OvsHost, tunbridge: Start, pki: Pki, tmp_path: Path
) -> None:
    """Nobody is restarted for it."""
    switch = Replaceable(tmp_path / "switch", pki.wrong[EXPIRED])
    set_ssl(ovs, switch)
    started = tunbridge(options=options(pki.right))
    started.wait_log(f"ended: no TLS: {REFUSALS[EXPIRED]}")
    switch.replace_with(pki.authority.certify("new"))
    ovs.appctl("bridge/reconnect")  # else it would, some seconds later
    started.wait_in_sync()


def test_a_controller_whose_certificate_expired_is_found_once_it_is_replaced(
    ovs: OvsHost, tunbridge: Start, pki: Pki, tmp_path: Path
) -> None:
    """The switch's refusal is in the controller's log; new files hold for the next connection, without a restart."""
    set_ssl(ovs, pki.right)
    controller = Replaceable(tmp_path / "controller", pki.wrong[EXPIRED])
    started = tunbridge(options=options(controller))
    started.wait_log("ended: no TLS: the peer refuses our certificate or us: certificate expired")
    controller.replace_with(pki.authority.certify("new"))
    ovs.appctl("bridge/reconnect")
    started.wait_in_sync()
    assert started.log_text().count("[ovs] TLS: new files are used from now on") >= 1


def test_one_command_renews_what_both_sides_of_openflow_use(ovs: OvsHost, tunbridge: Start, tmp_path: Path) -> None:
    """`tunbridge tls renew`, and neither ovs-vswitchd nor the controller is restarted; what stands goes on."""
    issued = IssuedCertificates(tmp_path / "pki")
    set_ssl(ovs, issued.identity("switch", expired=True))
    started = tunbridge(options=options(issued.identity("h1", expired=True)))
    started.wait_log("certificate expired")
    assert tls(issued.folder, "renew", "--expiring", "1") == 0
    ovs.appctl("bridge/reconnect")
    started.wait_in_sync()
    connected = started.log_text().count(" connected (")
    assert tls(issued.folder, "renew", "switch", "h1") == 0
    started.apply({"networks": [{"name": "net1", "id": NETWORK, "ports": [{"id": PORTS[0]}]}]})
    ovs.plug("tap1", PORTS[0])
    started.wait_port(PORTS[0], timeout=20)
    assert started.log_text().count(" connected (") == connected


def test_certificates_that_cannot_be_used_end_the_start_with_one_line(
    ovs: OvsHost, tunbridge: Start, tmp_path: Path
) -> None:
    """No bridge is touched."""
    controller = Authority(tmp_path).certify("controller")
    controller.certificate.write_text("")
    started = tunbridge(options=options(controller), check=False, ready=False)
    files = "ssl_key_file, ssl_cert_file, ssl_ca_cert_file"
    started.wait_log(f"tunbridge: [ovs] {files}: cannot use {controller.certificate} with the key {controller.key}: ")
    assert ovs.vsctl("list-br") == ""
