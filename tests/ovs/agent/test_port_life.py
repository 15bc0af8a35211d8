"""The life of a port as its owner sees it through the Network API, on one host and on its way to another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.http.api_process import ApiProcess
from tests.support.http.receiver import Receiver
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

MAC = "fa:16:3e:02:dd:79"
TAP = "tap0"


@dataclass(frozen=True)
class Cloud:
    """Three hosts with a controller each, an API that tells of ports, and who is told, on one topology."""

    api: ApiProcess
    hosts: tuple[OvsHost, ...]
    controllers: tuple[Tunbridge, ...]
    receiver: Receiver

    def port(self, **values: object) -> str:
        """A new port on a new network; its id."""
        network = self.api.create("network")
        self.api.create("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        made = self.api.create(
            "port",
            network_id=network["id"],
            mac_address=MAC,
            device_id=str(uuid.uuid4()),
            device_owner="compute:nova",
            **values,
        )
        assert (made["status"], made["binding:vif_type"] == "ovs") == ("DOWN", bool(made["binding:host_id"]))
        return str(made["id"])

    def wait(self, port_id: str, status: str, host: str) -> None:
        """Wait until the API shows this of a port."""
        expected = {"status": status, "binding:host_id": host, "binding:vif_type": "ovs" if host else "unbound"}

        def shown() -> dict[str, object]:
            view = self.api.get(f"/ports/{port_id}")["port"]
            return {name: view[name] for name in expected}

        wait_until(lambda: shown() == expected, 20, lambda: f"{expected}, not {shown()}")

    def wait_told(self, port_id: str, *names: str) -> None:
        """Wait until these events of a port have come, in this order."""

        def told() -> list[str]:
            return [name for name, _ in self.receiver.told(port_id)]

        wait_until(lambda: told() == list(names), 20, lambda: f"{names}, not {told()}")

    def wired(self, host: int, port_id: str) -> bool:
        """Whether frames for the port's address are delivered on a host."""
        return any(f"dl_dst={MAC}" in flow for flow in self.hosts[host].dump("br-tun"))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with ExitStack() as stack:
        database = stack.enter_context(OvsdbServer()).start()
        hosts = tuple(stack.enter_context(OvsHost()) for _ in range(3))
        controllers = tuple(
            stack.enter_context(
                Tunbridge(
                    ovs,
                    options={
                        "DEFAULT": {"host": f"h{number}"},
                        "ovs": {"local_ip": f"192.0.2.{number}"},
                        "topology": {"connection": database.connection},
                    },
                )
            )
            for number, ovs in enumerate(hosts, 1)
        )
        receiver = stack.enter_context(Receiver())
        api = ApiProcess(database.connection, options={"notifications": {"url": receiver.url}})
        yield Cloud(stack.enter_context(api), hosts, controllers, receiver)


@pytest.fixture(autouse=True)
def _logs(cloud: Cloud, report_logs: list[Path]) -> None:
    report_logs.extend([*(controller.log for controller in cloud.controllers), cloud.api.log])


def test_down_build_active_and_back(cloud: Cloud) -> None:
    """DOWN until a device is plugged, BUILD while the switch has not confirmed, ACTIVE after that; DOWN while
    admin_state_up is false, and when the device is gone. Events tell of ACTIVE, and of DOWN after that."""
    port_id, (ovs, *_) = cloud.port(), cloud.hosts
    device = Device(TAP, port_id, MAC)
    ovs.plug(TAP, "00000000-0000-4000-8000-00000000dead")  # nobody's, so that what follows takes no new port
    cloud.controllers[0].wait_device(TAP, status="DOWN")
    with ovs.frozen_vswitchd():
        ovs.vsctl(
            "--no-wait",
            "set",
            "Interface",
            TAP,
            f"external_ids:iface-id={port_id}",
            f'external_ids:attached-mac="{MAC}"',
        )
        cloud.wait(port_id, "BUILD", "h1")
    cloud.wait(port_id, "ACTIVE", "h1")
    cloud.wait_told(port_id, "plugged")
    cloud.api.update("port", port_id, admin_state_up=False)
    cloud.wait(port_id, "DOWN", "")
    cloud.wait_told(port_id, "plugged", "unplugged")
    cloud.api.update("port", port_id, admin_state_up=True)
    cloud.wait(port_id, "ACTIVE", "h1")
    ovs.unplug(TAP)
    cloud.wait(port_id, "DOWN", "")
    ovs.plug_many([device])
    cloud.wait(port_id, "ACTIVE", "h1")
    ovs.unplug(TAP)
    cloud.api.delete("port", port_id)
    wait_until(lambda: cloud.receiver.told(port_id)[-1][0] == "deleted", 20, "it is told to be deleted")


def test_live_migration(cloud: Cloud) -> None:
    """The device is on both hosts: the one that binding:host_id names carries its frames, and the one that it migrates
    to as long as the profile says so; a third follows."""
    port_id, (first, second, third) = cloud.port(**{"binding:host_id": "h1"}), cloud.hosts
    neighbour = cloud.api.create("port", network_id=cloud.api.get(f"/ports/{port_id}")["port"]["network_id"])
    third.plug_many([Device("tap3", neighbour["id"], neighbour["mac_address"])])
    first.plug_many([Device(TAP, port_id, MAC)])
    cloud.wait(port_id, "ACTIVE", "h1")
    profile = {"migrating_to": "h2"}
    assert cloud.api.update("port", port_id, **{"binding:profile": profile})["binding:profile"] == profile
    second.plug_many([Device(TAP, port_id, MAC)])
    cloud.controllers[1].wait_device(TAP, status="ACTIVE")  # beside the first, whose it still is
    cloud.wait(port_id, "ACTIVE", "h1")
    assert (cloud.wired(0, port_id), cloud.wired(1, port_id)) == (True, True)
    cloud.api.update("port", port_id, **{"binding:profile": {}})
    cloud.controllers[1].wait_device(TAP, status="DOWN", reason="binding:host_id is h1")
    cloud.wait(port_id, "ACTIVE", "h1")
    wait_until(lambda: (cloud.wired(0, port_id), cloud.wired(1, port_id)) == (True, False), 20, "as before")
    moved = cloud.api.update("port", port_id, **{"binding:host_id": "h2", "binding:profile": {}})
    assert moved["binding:host_id"] == "h2"
    cloud.wait(port_id, "ACTIVE", "h2")
    cloud.controllers[0].wait_device(TAP, status="DOWN", reason="binding:host_id is h2")
    cloud.controllers[1].wait_device(TAP, status="ACTIVE")
    wait_until(lambda: not cloud.wired(0, port_id), 20, "the first host carries it no more")
    assert cloud.wired(1, port_id)
    wait_until(lambda: first.tag(TAP) == 4095, 20, "it is dead there")
    tunnel = third.ofport("gre-c0000202")
    wait_until(
        lambda: any(line.split()[0] == str(tunnel) for line in _learned(third)),
        20, lambda: f"the third host sends there (port {tunnel}): {_learned(third)}",
    )  # fmt: skip
    first.unplug(TAP)
    cloud.controllers[0].wait_in_sync()
    cloud.wait(port_id, "ACTIVE", "h2")
    second.unplug(TAP)
    cloud.wait(port_id, "DOWN", "h2")


def test_plugged_anew_in_one_transaction(cloud: Cloud) -> None:
    """`--if-exists del-port -- add-port`, as libvirt and os-vif do it, is a plug like another: the port comes back from
    the host that had it meanwhile, also where the device has another number; and it is no drift."""
    port_id, (first, second, _) = cloud.port(), cloud.hosts
    device = Device(TAP, port_id, MAC)
    first.plug_many([device])
    cloud.wait(port_id, "ACTIVE", "h1")
    for number in (None, 77):
        second.plug_many([device])
        cloud.wait(port_id, "ACTIVE", "h2")
        cloud.controllers[0].wait_device(TAP, status="DOWN", reason="host h2 has bound it")
        again = Device(TAP, port_id, MAC, number)
        first.vsctl("--", "--if-exists", "del-port", "br-int", TAP, *again.plug_command("br-int", ""))
        cloud.wait(port_id, "ACTIVE", "h1")
        cloud.controllers[1].wait_device(TAP, status="DOWN", reason="host h1 has bound it")
        wait_until(lambda: cloud.wired(0, port_id) and not cloud.wired(1, port_id), 20, "frames go there")
        second.unplug(TAP)
    first.vsctl("--", "--if-exists", "del-port", "br-int", TAP, *device.plug_command("br-int", ""))
    cloud.controllers[0].wait_log(f"device {TAP} is plugged anew")
    cloud.controllers[0].wait_in_sync()
    cloud.wait(port_id, "ACTIVE", "h1")
    wait_until(lambda: first.tag(TAP) not in (None, 4095), 20, "it has its tag again")
    assert "others have changed it" not in cloud.controllers[0].log.read_text()
    first.unplug(TAP)


def _learned(ovs: OvsHost) -> list[str]:
    return [line for line in ovs.appctl("fdb/show", "br-tun").splitlines() if MAC in line]
