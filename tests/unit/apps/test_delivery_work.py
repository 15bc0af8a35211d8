"""What one more port of a secured network has compiled anew does not grow with the ports that share addresses."""

from __future__ import annotations

import pytest

from apps.framework.app import UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PortSecurity, ViewChange
from apps.framework.pipeline import BridgeRole
from apps.framework.render import render
from apps.port_delivery import PortDelivery
from topology.model import Network, NetworkType

NETWORK = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f01", NetworkType.GRE, 1)
VIRTUAL_MAC, VIRTUAL_IP = "00:00:5e:00:01:01", "10.0.9.9"


def port(number: int, *, mac: str | None = None) -> LocalPort:
    """A secured port that may have an address which all others may have too."""
    own = mac or f"fa:16:3e:00:00:{number:02x}"
    addresses = (f"10.0.0.{number}", own), (VIRTUAL_IP, own)
    pairs = tuple((f"{ip}/32", of) for ip, of in addresses)
    return LocalPort(
        f"p{number}", NETWORK.id, own, f"tap{number}", number, (VIRTUAL_MAC,), False, addresses, PortSecurity(pairs)
    )


def host(ports: int) -> HostView:
    return (
        HostView()
        .evolve(
            bridges={"br-int": BridgeRole.INTEGRATION},
            patch_tun=200,
            networks={NETWORK.id: LocalNetwork(NETWORK, 1)},
            ports={f"p{number}": port(number) for number in range(1, ports + 1)},
        )
        .new
    )


@pytest.mark.parametrize("ports", [2, 100])
def test_one_more_port(ports: int) -> None:
    touched = set(PortDelivery().touched(host(ports).evolve(ports={"p101": port(101)})))
    shared, own = (f"{NETWORK.id} {mac}" for mac in (VIRTUAL_MAC, "fa:16:3e:00:00:65"))
    assert {(unit.kind, unit.id) for unit in touched} == {
        (UnitKind.NETWORK, NETWORK.id),
        (UnitKind.PORT, "p101"),
        (UnitKind.REMOTE_PORT, "p101"),
        (UnitKind.ALLOWED_MAC, shared),
        (UnitKind.ALLOWED_MAC, own),
    }


def delivered(compiler: Compiler, mac: str) -> list[str]:
    flows = map(render, compiler.flows("br-int").values())
    return [flow.partition(" actions=")[2] for flow in flows if f"dl_dst={mac} " in flow]


def test_a_shared_address_follows_who_has_it() -> None:
    compiler, view = Compiler(), host(2)
    compiler.update(ViewChange.between(HostView(), view))
    asked = [f"load:0->NXM_NX_REG8[2],set_field:{number:#x}->reg9,resubmit(,50),resubmit(,51)," for number in (1, 2, 3)]
    out = "resubmit(,60),load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:200"
    assert delivered(compiler, VIRTUAL_MAC) == ["".join(asked[:2]) + out]
    for ports, expected in (
        ({"p3": port(3)}, ["".join(asked) + out]),
        ({"p1": None}, ["".join(asked[1:]) + out]),
        ({"p3": port(3, mac=VIRTUAL_MAC)}, [asked[2] + out]),
        ({"p3": None}, [asked[1] + out]),
        ({"p2": None}, []),
    ):
        change = view.evolve(ports=ports)
        compiler.update(change)
        view = change.new
        assert delivered(compiler, VIRTUAL_MAC) == expected
