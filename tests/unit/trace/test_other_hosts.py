"""What another host does with a frame, by what the topology has; and what its own answer may be."""

from __future__ import annotations

import dataclasses

import pytest

from controller.status.explanation import HostAnswers
from controller.trace.other_hosts import UNTOLD, OtherHostError, absence, expected, run_there
from controller.trace.traced_frame import ArrivalPoint, TracedFrame
from topology.model import Host, Network, NetworkType, Port, PortStatus

RED, GREEN = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
A, B, C, D = (f"00000000-0000-4000-8000-0000000000{number}" for number in (11, 12, 13, 14))
NETWORKS = {RED: Network(RED, NetworkType.GRE, 7), GREEN: Network(GREEN, NetworkType.VLAN, 7, "physnet1")}
H2 = Host("h2", ("192.0.2.2",), ("gre",), (("physnet1", "br-ex"),), "00000000-0000-4000-8000-0000000000aa")


def mac(number: int) -> str:
    return f"fa:16:3e:00:00:0{number}"


def port(id_: str, number: int, **more: object) -> Port:
    known = {"host": "h2", "status": PortStatus.ACTIVE, "network_id": RED, "mac_address": mac(number), **more}
    return Port(id=id_, **known)  # type: ignore[arg-type]


PORTS = {
    A: port(A, 1, host="h1"),
    B: port(B, 2, allowed_macs=(mac(8),)),
    C: port(C, 3),
    D: port(D, 4, network_id=GREEN),
}
KNOWN = HostAnswers(PORTS, NETWORKS, {"h2": H2})
OUT_OF_TUNNEL, FROM_WIRE = ArrivalPoint("gre", 7, "192.0.2.1"), ArrivalPoint("", 7, physical_network="physnet1")


def frame(destination: str, source: str = mac(1)) -> TracedFrame:
    return TracedFrame((), source, destination)


@pytest.mark.parametrize(
    ("sent", "ports"),
    [
        (frame(mac(2)), [B]),
        (frame(mac(8)), [B]),
        (frame("ff:ff:ff:ff:ff:ff"), [B, C]),
    ],
)
def test_who_gets_it(sent: TracedFrame, ports: list[str]) -> None:
    copies = expected(H2, OUT_OF_TUNNEL, NETWORKS[RED], sent, KNOWN)
    assert [copy.port for copy in copies] == ports
    assert all(copy.delivered and not copy.is_asked for copy in copies)


@pytest.mark.parametrize(
    ("host", "network", "sent", "reason"),
    [
        (H2, RED, frame(mac(1)), f"no port of network {RED} that is bound there has {mac(1)}"),
        (H2, RED, frame(mac(2), mac(3)), f"it is sent in the name of port {C}"),
        (dataclasses.replace(H2, tunnel_types=("vxlan",)), RED, frame(mac(2)), "gre is not in"),
        (dataclasses.replace(H2, bridge_mappings=()), GREEN, frame(mac(4)), "physical network physnet1 is not in"),
        (dataclasses.replace(H2, name="h3"), RED, frame(mac(2)), f"no port of network {RED} is bound there"),
    ],
)
def test_who_does_not(host: Host, network: str, sent: TracedFrame, reason: str) -> None:
    (copy,) = expected(host, OUT_OF_TUNNEL, NETWORKS[network], sent, KNOWN)
    assert copy.reason is not None
    assert copy.reason.startswith(reason)
    assert not copy.delivered


def test_in_the_name_of_another_is_no_matter_on_the_wire() -> None:
    """L2_IMPOSTOR is for tunnels alone."""
    (copy,) = expected(H2, FROM_WIRE, NETWORKS[GREEN], frame(mac(4), mac(4)), KNOWN)
    assert copy.port == D


def test_a_host_of_which_nobody_tells() -> None:
    (copy,) = expected(dataclasses.replace(H2, instance=""), OUT_OF_TUNNEL, NETWORKS[RED], frame(mac(9)), KNOWN)
    assert (copy.kind, copy.by, copy.delivered) == ("host", UNTOLD, True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"admin_state_up": False}, "admin_state_up of the port is false"),
        ({"network_id": A}, f"the topology has no valid network {A}"),
        ({"host": None}, "no host has bound it"),
        ({"host": None, "requested_host": "h2"}, "binding:host_id is h2, and that has not bound it"),
        ({"status": PortStatus.DOWN}, "host h2 says that it is DOWN"),
        ({"status": PortStatus.BUILD}, "host h2 says that it is BUILD"),
    ],
)
def test_why_a_port_gets_nothing(changes: dict[str, object], reason: str | None) -> None:
    found = absence(port(B, 2, **changes), KNOWN)
    assert (found[0] if found is not None else None) == reason


@pytest.mark.parametrize(
    ("via", "error"),
    [
        ("sh -c 'echo no way >&2; exit 255' {host}", "host h2 cannot be asked: no way"),
        ("sh -c 'exit 3' {host}", "host h2 cannot be asked: exit status 3"),
        ("echo []", "host h2 cannot be asked: "),
        ("sh -c 'echo []'", "host h2 cannot be asked: it answers something else"),
        ("/nonexistent/ssh {host}", "host h2 cannot be asked: No such file or directory"),
    ],
)
def test_no_answer_of_a_host(via: str, error: str) -> None:
    with pytest.raises(OtherHostError) as caught:
        run_there(via, "h2", ["a"])
    assert str(caught.value).startswith(error)


def test_what_is_run_there_is_one_word_as_ssh_takes_it() -> None:
    """So that a shell there finds each word whole."""
    told = run_there(
        """sh -c 'printf "{\\"copies\\": [], \\"asked\\": \\"%s\\"}" "$0 $1"' {host}""", "h2", ["a b", "c"]
    )
    assert told["asked"] == "h2 tunbridge trace 'a b' c --json"
