"""The profile ``cluster`` of docker-compose.yml, whose leader is killed while ports are made, plugged in and bound."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from scripts.container_fabric import Fabric
from scripts.processes import ProcessError

MEMBERS = ("member1", "member2", "member3")
_NETWORK = "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"
"""Of examples/demo.yaml, on which the VMs are."""

_CREATE = """
import json, sys, time, urllib.error, urllib.request
url, network, name = sys.argv[1:]
body = json.dumps({"port": {"network_id": network, "name": name}}).encode()
began = time.monotonic()
while True:
    request = urllib.request.Request(url + "/ports", body, {"Content-Type": "application/json"})
    try:
        port = json.load(urllib.request.urlopen(request))["port"]["id"]
        break
    except urllib.error.HTTPError as error:
        if error.code != 503 or time.monotonic() > began + 60:
            sys.exit(f"{error}: {error.read().decode()}")
        time.sleep(0.05)
print(json.dumps([port, time.monotonic() - began]))
"""
"""Makes a port by the API. 503, and no other answer, means that it was not made, and to ask again."""


def cluster_profile(fabric: Fabric) -> Iterator[str]:
    """Bring it up and kill its leader twice; what was seen.

    :raises ProcessError: changes or bindings do not go on, something is lost, or the cluster is not whole in the end
    """
    fabric.up()
    if fabric.check():
        raise ProcessError(f"the check of the cluster failed:\n{fabric.logs(fabric.layout.check)}")
    yield "profile `cluster`: three members, a relay and the API; the check ended with status 0"
    devices = {name: end for end in fabric.layout.ends for name in (f"before-{end[-1]}", f"after-{end[-1]}")}
    for device, end in devices.items():  # where one comes while frames are counted, Open vSwitch itself loses some
        fabric.execute(end, "ip", "link", "add", device, "type", "veth", "peer", "name", f"of-{device}")
        for name in (device, f"of-{device}"):
            fabric.execute(end, "ip", "link", "set", name, "promisc", "on", "up")
    made = []
    with fabric.probe() as probe:
        leader = _leader(fabric)
        fabric.kill(leader)
        _wait_whole(fabric)
        yield f"{leader}, the leader, killed (SIGKILL) and back: three members, and no lag"
        for end in fabric.layout.ends:
            made.append(_plugged(fabric, f"before-{end[-1]}", end)[0])
        leader = _leader(fabric)
        fabric.switch_off(leader)
        for end in fabric.layout.ends:  # one host has the relay, the other the members
            port, written, bound = _plugged(fabric, f"after-{end[-1]}", end)
            made.append(port)
            yield f"{leader}, the leader, is off: a port made after {written:.1f} s, bound on {end} {bound:.1f} s later"
        fabric.switch_on(leader)
        _wait_whole(fabric)
        fabric.wait_in_sync()
        counted = probe.stop()
    if counted.lost or counted.duplicated:
        raise ProcessError(f"frames between the VMs meanwhile: {counted}\n{_dropped(fabric)}")
    yield f"{leader} is on again: three members, and no lag; {counted}"
    states = fabric.port_states()
    if missing := [port for port in made if states.get(port) != "ACTIVE"]:
        raise ProcessError(f"not there, or not ACTIVE, of ports that the API has made: {missing}")
    yield "each port that was made is there, and ACTIVE"


def _plugged(fabric: Fabric, name: str, hypervisor: str) -> tuple[str, float, float]:
    """Make a port by the API, and plug it in: its id, seconds until it was made, and then until it was bound.

    :param name: of the port, and of the device that is there
    """
    words = ("python3", "-c", _CREATE, fabric.api_url, _NETWORK, name)
    port, written = json.loads(fabric.execute(fabric.layout.api, *words))
    interface = ("--", "set", "Interface", name, f"external_ids:iface-id={port}")
    began = time.monotonic()
    fabric.execute(hypervisor, "ovs-vsctl", "add-port", "br-int", name, *interface)
    fabric.until(f"port {name} is bound", lambda: fabric.port_states()[port] == "ACTIVE")
    return port, written, time.monotonic() - began


def _dropped(fabric: Fabric) -> str:
    """What the switches say that they have dropped, since they were started, and why."""
    command = ("ovs-appctl", "--target=/run/openvswitch/vswitchd.ctl", "coverage/show")
    shown = {end: fabric.execute(end, *command).splitlines() for end in fabric.layout.ends}
    return "\n".join(f"{end}: {line}" for end, lines in shown.items() for line in lines if "drop" in line)


def _status(fabric: Fabric, member: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(fabric.execute(member, "tunbridge", "topology", "status", "--json"))
    return found


def _leader(fabric: Fabric) -> str:
    found = [member for member in MEMBERS if _status(fabric, member)["role"] == "leader"]
    if len(found) != 1:
        raise ProcessError(f"{len(found)} leaders: {found}")
    return found[0]


def _wait_whole(fabric: Fabric) -> None:
    """Wait until all three members have all that the leader has."""

    def is_whole() -> bool:
        members = _status(fabric, _leader(fabric))["members"]
        assert isinstance(members, list)
        return [one["lag"] for one in members] == [0, 0, 0]

    for member in MEMBERS:
        fabric.wait_healthy(member)
    fabric.until("three members have no lag", is_whole)
