"""The local OVSDB over TLS: the ovsdb-server of a real Open vSwitch, set up as operators do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import EXPIRED, OLDER, REFUSALS, Authority, Identity, Lack, Pki, Replaceable
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.topology.ovsdb import OvsdbServer

pytestmark = pytest.mark.one_hub

NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORT = "5b8f0e63-3a38-4f1c-9a2e-000000000101"
Start = Callable[..., Tunbridge]


def serve_tls(ovs: OvsHost, identity: Identity) -> str:
    """Let ovsdb-server listen with TLS; its connection method."""
    port = free_tcp_port()
    ovs.vsctl("set-ssl", str(identity.key), str(identity.certificate), str(identity.ca_cert))
    ovs.vsctl("set-manager", f"pssl:{port}:127.0.0.1")
    return f"ssl:127.0.0.1:{port}"


@pytest.mark.parametrize("lacks", [(), OLDER], ids=["all", "few"])
def test_each_connection_has_certificates_of_its_own(
    ovs: OvsHost, tunbridge: Start, tmp_path: Path, lacks: tuple[Lack, ...]
) -> None:
    """OpenFlow and the local OVSDB by one authority, the topology by another, in one process: a port is bound. With all
    extensions that RFC 5280 asks for, or with as few as Open vSwitch accepts."""
    identity = Authority(tmp_path, lacks=lacks).certify("topology")
    switches = Authority(tmp_path, "switches", lacks=lacks)
    port = free_tcp_port()
    local = serve_tls(ovs, switches.certify("switch", ["switch.example"]))
    with OvsdbServer() as topology:
        topology.start(f"--remote=pssl:{port}:127.0.0.1", *identity.arguments())
        options = {
            "ovs": switches.certify("own").options(
                ovsdb_connection=local, of_listen_method="ssl", ssl_peer_name="switch.example"
            ),
            "topology": identity.options(connection=f"ssl:127.0.0.1:{port}"),
        }
        started = tunbridge(options=options)
        started.apply({"networks": [{"name": "net1", "id": NETWORK, "ports": [{"id": PORT}]}]})
        ovs.plug("tap1", PORT)
        started.wait_device("tap1", status="ACTIVE")
        started.wait_in_sync()
        assert ovs.tag("tap1") == 1
        assert started.command("host", "list").splitlines()[1].startswith("host1 ")
        started.stop()


def test_a_dry_run_reads_a_topology_over_tls(ovs: OvsHost, tunbridge: Start, pki: Pki) -> None:
    """With the certificates of the configuration, as a start would."""
    port = free_tcp_port()
    with OvsdbServer() as topology:
        topology.start(f"--remote=pssl:{port}:127.0.0.1", *pki.right.arguments())
        started = tunbridge(options={"topology": pki.right.options(connection=f"ssl:127.0.0.1:{port}")})
        started.apply({"networks": [{"name": "net1", "id": NETWORK, "ports": [{"id": PORT}]}]})
        started.wait_in_sync()
        assert started.command("controller", "--dry-run") == ""
        started.stop()


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_server_with_a_wrong_certificate_is_refused_until_it_is_replaced(
    ovs: OvsHost, tunbridge: Start, pki: Pki, tmp_path: Path, wrong: str
) -> None:
    """No bridge is made by its word; the log says why, and all goes on when the certificate is right."""
    switch = Replaceable(tmp_path / "switch", pki.wrong[wrong])
    local = serve_tls(ovs, switch)
    started = tunbridge(options={"ovs": pki.right.options(ovsdb_connection=local, ssl_peer_name="")})
    started.wait_log(f"ERROR topology.ovsdb.replica Open_vSwitch at {local}: {REFUSALS[wrong]}")
    assert ovs.vsctl("list-br") == ""
    switch.replace_with(pki.authority.certify("new"))
    started.wait_in_sync()


def test_a_controller_without_the_right_certificate_is_refused_until_it_is_replaced(
    ovs: OvsHost, tunbridge: Start, pki: Pki, tmp_path: Path
) -> None:
    """By the server; the controller says so, and heals by itself."""
    own = Replaceable(tmp_path / "own", pki.wrong[EXPIRED])
    local = serve_tls(ovs, pki.right)
    started = tunbridge(options={"ovs": own.options(ovsdb_connection=local)})
    started.wait_log(f"ERROR topology.ovsdb.replica Open_vSwitch at {local}: the peer ")
    assert ovs.vsctl("list-br") == ""
    own.replace_with(pki.authority.certify("new"))
    started.wait_in_sync()


def test_tls_to_a_plain_server_is_said(ovs: OvsHost, tunbridge: Start, pki: Pki) -> None:
    """And nothing else happens."""
    port = free_tcp_port()
    ovs.vsctl("set-manager", f"ptcp:{port}:127.0.0.1")
    started = tunbridge(options={"ovs": pki.right.options(ovsdb_connection=f"ssl:127.0.0.1:{port}")})
    started.wait_log(f"ERROR topology.ovsdb.replica Open_vSwitch at ssl:127.0.0.1:{port}: the peer ")
    assert ovs.vsctl("list-br") == ""
