"""An address of a port that others of its network may have: said once, shown while it is so, cheap to follow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.host.deciding import NET, PORT, DecidingHost
from topology.model import FixedIp, Port
from topology.source import TopologyBatch

SUBNET = "00000001-0000-4000-8000-00000000000c"
OTHERS = tuple(
    Port(f"{n:08x}-0000-4000-8000-00000000000b", NET.id, f"fa:16:3e:00:01:{n:02x}", host=f"host{n}") for n in (2, 3)
)


@pytest.fixture
def host() -> Iterator[DecidingHost]:
    made = DecidingHost()
    made.bring_up()
    yield made
    made.close()


def put(host: DecidingHost, *ports: Port) -> tuple[str, ...]:
    host.step(TopologyBatch(False, ports={port.id: port for port in ports}))
    return host.snapshot.address_conflicts


def fixed(port: Port, *addresses: str) -> Port:
    return replace(port, fixed_ips=tuple(FixedIp(address, SUBNET) for address in addresses))


def line(address: str, owner: Port, *others: Port) -> str:
    shown = ", ".join(sorted(port.id for port in others))
    return f"network {NET.id}: {address} of port {owner.id} may be used by others too: {shown}"


def test_a_mac_address_that_pairs_give_to_others(host: DecidingHost, caplog: pytest.LogCaptureFixture) -> None:
    """Of a port here, then of one elsewhere, then of nobody but one again."""
    caplog.set_level(logging.INFO)
    two, three = OTHERS
    assert put(host, two, three) == ()
    allowed, said = replace(two, allowed_macs=(PORT.mac_address,)), line(PORT.mac_address, PORT, two)
    assert put(host, allowed) == (said,)
    put(host, replace(allowed, name="another"), replace(three, host="host9"))
    assert [record.getMessage() for record in caplog.records].count(said) == 1
    other = line(three.mac_address, three, two)
    assert put(host, replace(two, allowed_macs=(three.mac_address,))) == (other,)
    host.step(TopologyBatch(False, ports={three.id: None}))
    assert host.snapshot.address_conflicts == ()
    assert [record.getMessage() for record in caplog.records].count(f"no longer so: {other}") == 1


def test_a_fixed_ip_that_pairs_give_to_others_that_are_bound(host: DecidingHost) -> None:
    two, three = OTHERS
    two, three = fixed(two, "10.0.0.5"), replace(three, allowed_ips=(("10.0.0.5", three.mac_address),))
    assert put(host, two, replace(three, host=None)) == ()
    assert put(host, three) == (line("10.0.0.5", two, three),)
    assert put(host, fixed(two, "10.0.0.6")) == ()


def test_what_only_pairs_share_is_meant(host: DecidingHost) -> None:
    """Until one has it for its own."""
    pair = {"allowed_macs": ("00:00:5e:00:01:01",), "allowed_ips": (("10.0.0.9", "00:00:5e:00:01:01"),)}
    two, three = (replace(port, **pair) for port in OTHERS)  # type: ignore[arg-type]
    assert put(host, two, three) == ()
    own = fixed(two, "10.0.0.9")
    assert put(host, own) == (line("10.0.0.9", two, three),)
    assert put(host, two) == ()


def test_a_network_that_is_not_here_any_more_has_no_conflict(host: DecidingHost) -> None:
    two, three = OTHERS
    assert len(put(host, two, replace(three, allowed_macs=(two.mac_address,)))) == 1
    assert put(host, replace(PORT, admin_state_up=False)) == ()
