"""Frames and drops of a host in ``/metrics``, as a real Open vSwitch counts them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.status.metrics_catalogue import catalogue
from tests.support import reference
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

UNBOUND = Device("tap-unbound", "00000000-0000-4000-8000-00000000dead", "fa:16:3e:00:00:99")
"""Of a port that the topology does not have; the first by its id."""

BROADCAST = "ffffffffffff"


def send(ovs: OvsHost, device: Device, frames: int) -> None:
    """Let a device send frames that are nobody's protocol."""
    assert device.mac is not None
    frame = (BROADCAST + device.mac.replace(":", "") + "88b5").ljust(120, "0")
    for _ in range(frames):
        ovs.appctl("netdev-dummy/receive", device.name, frame)


def becomes(port: int, expected: str, predicate: Callable[[Scrape], bool]) -> Scrape:
    found = wait_until(lambda: one if predicate(one := Scrape(port)) else None, 60, expected)
    assert found is not None
    return found


def test_frames_and_drops(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Each frame is counted for its port and in the totals, those of a device that is not bound as dropped; a device
    that goes leaves the totals as they were, and of more ports than are wanted it is said how many."""
    port = free_tcp_port()
    options = {"metrics": {"listen_port": port, "traffic": "ports", "traffic_ports": 2}}
    controller = tunbridge(options=options)
    controller.apply(reference.DOCUMENT)
    devices = sorted([reference.VM, reference.DHCP], key=lambda one: one.port_id or "")
    ovs.plug_many([*devices, UNBOUND])
    for device in devices:
        controller.wait_device(device.name, status="ACTIVE")
    controller.wait_device(UNBOUND.name, status="DOWN")
    send(ovs, devices[0], 5)
    send(ovs, UNBOUND, 3)

    def of(scrape: Scrape, name: str, device: Device, **labels: str) -> float:
        return scrape.value(f"tunbridge_port_{name}_total", port=device.port_id or "", device=device.name, **labels)

    scrape = becomes(port, "frames of a port", lambda one: of(one, "frames", devices[0], direction="received") == 5)
    assert of(scrape, "bytes", devices[0], direction="received") == 5 * 60
    assert of(scrape, "frames", UNBOUND, direction="received") == 3
    assert scrape.value("tunbridge_frames_total", kind="device", direction="received") == 8
    assert scrape.value("tunbridge_bytes_total", kind="device", direction="received") == 8 * 60
    assert scrape.value("tunbridge_frames_total", kind="tunnel", direction="received") == 0
    scrape = becomes(port, "the other device has the frames", lambda one: one.value(
        "tunbridge_frames_total", kind="device", direction="sent") >= 5)  # fmt: skip
    assert scrape.value("tunbridge_ports_untold") == 1
    assert {dict(labels).get("device") for _, labels in scrape.series} == {None, devices[0].name, UNBOUND.name}

    dropped = {"bridge": "br-int", "band": "INT_DROP"}
    scrape = becomes(port, "drops", lambda one: one.value("tunbridge_dropped_frames_total", **dropped) == 3)
    assert of(scrape, "dropped_frames", UNBOUND, **dropped) == 3
    assert of(scrape, "dropped_frames", devices[0], **dropped) == 0

    def loses() -> Scrape | None:  # which the dummy datapath never does; ovs-vswitchd takes it back every 5 s
        ovs.vsctl("set", "Interface", UNBOUND.name, "statistics:rx_errors=7")
        one = Scrape(port)
        return one if of(one, "lost_frames", UNBOUND, direction="received", reason="errors") == 7 else None

    lost = wait_until(loses, 60, "lost frames")
    assert lost is not None
    assert lost.value("tunbridge_lost_frames_total", kind="device", direction="received", reason="errors") >= 7
    declared = {metric.name: metric for metric in catalogue()["traffic"]}
    assert {name: lost.types[name] for name in declared} == {name: of.kind.value for name, of in declared.items()}
    assert {name: lost.labels[name] for name in declared} == {name: set(of.labels) for name, of in declared.items()}
    ovs.vsctl("del-port", UNBOUND.name)
    scrape = becomes(port, "it has gone", lambda one: one.value("tunbridge_ports_untold") == 0)
    assert scrape.value("tunbridge_frames_total", kind="device", direction="received") == 8
    send(ovs, devices[1], 2)
    scrape = becomes(port, "two more", lambda one: one.value(
        "tunbridge_frames_total", kind="device", direction="received") == 10)  # fmt: skip
    assert scrape.value("tunbridge_dropped_frames_total", **dropped) == 3
    assert of(scrape, "frames", devices[1], direction="received") == 2
    ovs.stop_vswitchd()  # whose numbers are told on
    scrape = becomes(port, "no bridge", lambda one: one.sum("tunbridge_openflow_connected") == 0)
    assert scrape.value("tunbridge_dropped_frames_total", **dropped) == 3


@pytest.mark.parametrize("traffic", ["totals", "none"])
def test_as_much_as_is_wanted(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], traffic: str) -> None:
    """Unless it is wanted nothing names a port, and nothing is asked of Open vSwitch."""
    port = free_tcp_port()
    tunbridge(options={"metrics": {"listen_port": port, "traffic": traffic}}).wait_in_sync()
    told = Scrape(port).types.keys() & {metric.name for metric in catalogue()["traffic"]}
    names = ("frames", "bytes", "lost_frames", "dropped_frames") if traffic == "totals" else ()
    assert told == {f"tunbridge_{name}_total" for name in names}
