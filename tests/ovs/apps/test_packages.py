"""Applications of the pipeline that come from other packages: the port mirror of examples/, and some that fail."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, Port, new_network, new_port
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

MIRROR = ROOT / "examples" / "applications" / "port_mirror"

HEAD = """
from apps.framework.app import App, UnitKind, place
from apps.framework.flow import Field, Normal, match
from apps.framework.pipeline import Band, BridgeRole

def band(name, priority, role=BridgeRole.INTEGRATION):
    return Band(name, role, priority, frozenset({Field.IN_PORT, Field.ETH_SRC}), frozenset({Normal}), "")

class Silent(App):
    def flows(self, unit, view):
        return ()
"""
MODULES = {
    "raises": "raise RuntimeError('at import')",
    "takes_a_band": "class One(Silent):\n    name, number, bands = 'one', 200, (band('ONE', 2),)",
    "takes_a_name": "class One(Silent):\n    name, number, bands = 'one', 201, (band('INT_NORMAL', 40),)",
    "takes_a_number": "class One(Silent):\n    name, number, bands = 'one', 3, (band('ONE', 41),)",
    "is_none": "One = 5",
    "has_none": "",
    "has_no_bands": "class One(Silent):\n    name, number = 'one', 202",
    "fails": """
    class One(App):
        name, number, bands, kinds = 'failing', 203, (band('FAILING', 42),), (UnitKind.PORT,)

        def flows(self, unit, view):
            raise ZeroDivisionError('a defect')
    """,
    "strays": """
    class One(App):
        name, number, bands, kinds = 'straying', 204, (band('STRAYING', 43),), (UnitKind.PORT,)

        def flows(self, unit, view):
            flow = self.flow(band('ELSEWHERE', 44), match(in_port=view.ports[unit.id].ofport), Normal(), of=unit.id)
            return place(view, BridgeRole.INTEGRATION, [flow])
    """,
    "contradicts": """
    class One(App):
        name, number, bands, kinds = 'contradicting', 205, (band('CONTRADICTING', 45),), (UnitKind.PORT,)

        def flows(self, unit, view):
            actions = (Normal(),) if view.ports[unit.id].ofport % 2 else ()
            return place(view, BridgeRole.INTEGRATION, [self.flow(self.bands[0], match(), *actions, of=unit.id)])
    """,
    "loops": """
    class One(App):
        name, number, bands, kinds = 'looping', 207, (band('LOOPING', 47),), (UnitKind.PORT,)
        has_looped = False

        def flows(self, unit, view):
            looped, One.has_looped = One.has_looped, True
            while not looped:
                pass
            flow = self.flow(self.bands[0], match(dl_src=view.ports[unit.id].mac_address), Normal(), of=unit.id)
            return place(view, BridgeRole.INTEGRATION, [flow])
    """,
    "names_what_is_not_there": """
    class One(App):
        name, number, bands, kinds = 'naming', 206, (band('NAMING', 46),), (UnitKind.PORT,)

        def flows(self, unit, view):
            flow = self.flow(self.bands[0], match(dl_src=view.ports[unit.id].mac_address), Normal(), of=unit.id)
            return place(view, BridgeRole.INTEGRATION, [flow])

        def touched(self, change):
            raise KeyError('not there')
    """,
}
LEFT_OUT = {
    "raises": "RuntimeError: at import",
    "takes_a_band": "both have a band at priority 2 of table 0, integration bridge",
    "takes_a_name": "both have a band INT_NORMAL",
    "takes_a_number": "its number 3 is not one of 128 to 255",
    "is_none": "is_none:One is no apps.framework.app.App",
    "has_none": "AttributeError",
    "has_no_bands": "has no bands",
}
SERVED = ("fails", "strays", "contradicts", "names_what_is_not_there")


def install(site: Path, name: str, source: str, target: str) -> None:
    """As pip does: a module, and what the package says of itself."""
    (site / f"{name}.py").write_text(source)
    info = site / f"{name}_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tunbridge.applications]\n{name} = {name}:{target}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages are installed."""
    site = tmp_path_factory.mktemp("site")
    install(site, "port_mirror", (MIRROR / "port_mirror.py").read_text(), "PortMirror")
    for name, source in MODULES.items():
        install(site, name, HEAD + textwrap.dedent(source), "One")
    return site


def test_a_port_mirror(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], site: Path) -> None:
    """Installed it changes nothing; named, the device gets a copy; named no more, it gets none."""
    declared = (MIRROR / "pyproject.toml").read_text()  # as `install` has it
    assert '[project.entry-points."tunbridge.applications"]\nport_mirror = "port_mirror:PortMirror"\n' in declared
    network = new_network()
    one, two, probe = (new_port(network) for _ in range(3))
    controller = tunbridge(environment={"PYTHONPATH": str(site)})
    host = Host(ovs, controller)
    host.add_networks(network)
    host.wire(one, two, probe)
    before = ovs.dump("br-int")
    assert not [flow for flow in before if "priority=4," in flow]

    options: dict[str, dict[str, Any]] = {
        "DEFAULT": {"pipeline_apps": "port_mirror"},
        "mirror": {"from_port": one.id, "to_port": probe.id},
    }
    controller.write_config(options)
    controller.restart()
    wait_mirrored(host, one, probe)
    assert controller.flows("br-int", "diff") == []
    (told,) = [one for one in explained(host, one) if one["band"] == "MIRROR_SENT"]
    assert (told["application"], told["of"]) == ("port mirror", {"kind": "port", "id": one.id})
    traced = ovs.trace("br-int", f"in_port={ovs.ofport(one.name)},dl_src={one.mac},dl_dst={two.mac}")
    assert f"output:{ovs.ofport(probe.name)}" in traced
    sent = ovs.row("Interface", probe.name)["statistics"]
    ovs.appctl("netdev-dummy/receive", one.name, (two.mac + one.mac).replace(":", "") + "88b5" + "00" * 46)
    wait_until(lambda: ovs.row("Interface", probe.name)["statistics"] != sent, 20, "a copy has got there")

    ovs.unplug(probe.name)
    host.wait_flows("br-int", "priority=4,", 0)
    ovs.plug_many([probe.device()])
    wait_mirrored(host, one, probe)

    options["DEFAULT"] = {}
    controller.write_config(options)
    controller.restart()
    host.wait_flows("br-int", "priority=4,", 0)
    controller.wait_in_sync()
    for port in (one, two, probe):
        host.assert_bound(port)


def wait_mirrored(host: Host, one: Port, probe: Port) -> None:
    """Until the flow is there, and all is in sync."""
    host.wait_active(probe)
    (flow,) = host.wait_flows("br-int", f"priority=4,in_port={host.ovs.ofport(one.name)} ", 1)
    assert flow.endswith(f"actions=output:{host.ovs.ofport(probe.name)},NORMAL")
    host.tunbridge.wait_in_sync()


def explained(host: Host, port: Port) -> list[dict[str, Any]]:
    from controller.status.control_client import call

    answer = call(str(host.tunbridge.run_path / "control.sock"), "explained_flows", objects=[port.id])
    return list(answer["flows"])


@pytest.fixture(scope="module")
def host(hub: str, site: Path) -> Iterator[Host]:
    """With all of those that fail."""
    names = ", ".join([*LEFT_OUT, *SERVED, "nobodys"])
    options = {"DEFAULT": {"pipeline_apps": names}}
    with (
        OvsHost() as ovs,
        Tunbridge(ovs, hub=hub, environment={"PYTHONPATH": str(site)}, options=options) as controller,
    ):
        yield Host(ovs, controller)


def wait_problem(host: Host, *texts: str) -> None:
    def there() -> bool:
        return any(all(text in line for text in texts) for line in host.tunbridge.quick_status().get("problems", []))

    wait_until(there, 20, lambda: f"{texts}: {host.tunbridge.quick_status().get('problems')}")


@pytest.mark.parametrize(("name", "why"), LEFT_OUT.items(), ids=str)
def test_what_cannot_be_loaded_is_left_out_with_its_package(host: Host, name: str, why: str) -> None:
    wait_problem(host, f"application {name} of package {name}-package 1.0 is left out: ", why)


def test_an_entry_point_that_nobody_has(host: Host) -> None:
    wait_problem(host, "application nobodys is left out: no installed package has an entry point nobodys")


def test_one_that_does_not_come_back_is_interrupted(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], site: Path, hub: str
) -> None:
    """And asked again."""
    if hub != "eventlet":
        pytest.skip("with native threads nobody keeps others from running")
    options = {"DEFAULT": {"pipeline_apps": "loops"}}
    host = Host(ovs, tunbridge(environment={"PYTHONPATH": str(site)}, options=options))
    network = new_network()
    host.add_networks(network)
    port = new_port(network)
    host.wire(port)
    why = (
        f"port {port.id} gets no flows: application looping of package loops-package 1.0: AppInterrupted: it let nobody"
    )
    host.tunbridge.wait_log(why)
    host.wait_flows("br-int", f"priority=47,dl_src={port.mac} ", 1)
    host.tunbridge.wait_in_sync()


def test_ports_are_served_whatever_it_does(host: Host) -> None:
    """Flows of an application that fails are left out, and named; the port has ours."""
    network = new_network()
    host.add_networks(network)
    ports = [new_port(network) for _ in range(3)]
    host.wire(*ports)
    for port in ports:
        host.assert_bound(port)
        wait_problem(host, f"port {port.id}: application failing of package fails-package 1.0: ZeroDivisionError")
        wait_problem(host, f"port {port.id}: application straying of package strays-package 1.0: ", "priority 44")
        host.wait_flows("br-int", f"priority=46,dl_src={port.mac} ", 1)
    wait_problem(host, "application contradicting of package contradicts-package 1.0: ", "contradicts")
    wait_problem(host, "application naming of package names_what_is_not_there-package 1.0: KeyError")
    host.ovs.unplug(ports[0].name)
    host.wait_flows("br-int", "priority=46", 2)
    for port in ports[1:]:
        host.assert_bound(port)
