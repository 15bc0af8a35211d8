"""``make lab``: three hosts with a controller each and six VMs on this machine, to play with until Ctrl-C.

Two GRE networks with the same addresses show that networks are worlds of their own, one VLAN network shows a physical
network. Each VM pings each address; with ``--once`` the exit status says whether the right ones answered, and nothing
stays up.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shlex
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from scripts.processes import ProcessError
from tests.support.lab.lab import Lab
from tests.support.lab.vm import Vm

HOSTS = ("h1", "h2", "h3")


@dataclass(frozen=True)
class Network:
    """A network of the lab, and its VMs.

    :param vms: name of the VM, name of its host, address
    """

    name: str
    network_type: str
    segmentation_id: int
    vms: tuple[tuple[str, str, str], ...]


NETWORKS = (
    Network("red", "gre", 101, (("red1", "h1", "10.0.0.1/24"), ("red2", "h2", "10.0.0.2/24"))),
    Network("blue", "gre", 102, (("blue1", "h1", "10.0.0.1/24"), ("blue2", "h3", "10.0.0.2/24"))),
    Network("green", "vlan", 103, (("green1", "h2", "10.0.0.3/24"), ("green2", "h3", "10.0.0.4/24"))),
)

_COLUMN = 14  # characters
_PINGS = 3

_started = time.monotonic()


def main() -> int:
    """Build, show, and wait for a signal; 0: what was shown is as it should be."""
    parser = argparse.ArgumentParser(prog="make lab", description="Three hosts and six VMs on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the checks, with status 0 when all is well")
    once = parser.parse_args().once
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)
    up = False
    try:
        with Lab() as lab:
            good = _build(lab)
            up = True
            if not once:
                print(_advice(lab), flush=True)
                threading.Event().wait()
            _ignore_signals()
        return 0 if good else 1
    except (ProcessError, AssertionError, OSError) as error:
        print(f"make lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe lab is gone.", flush=True)
        return 0 if up else 1


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End the lab once: its removal is not to be interrupted."""
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", flush=True)


def _build(lab: Lab) -> bool:
    """Make everything and show it; True when it is as it should be."""
    for name in HOSTS:
        lab.add_host(name)
    _say(f"{len(HOSTS)} hosts, each with its own Open vSwitch: {', '.join(HOSTS)}")
    for network in NETWORKS:
        made = lab.add_network(network.name, network.network_type, network.segmentation_id)
        for name, _, address in network.vms:
            lab.add_vm(name, made, address)
    lab.start_topology()
    lab.apply()
    _say(f"the topology database holds {len(lab.networks)} networks with {len(lab.vms)} ports")
    lab.start_controllers()
    _say("a controller on each host")
    for network in NETWORKS:
        for name, host_name, _ in network.vms:
            lab.vms[name].plug(lab.hosts[host_name])
    lab.wait_wired()
    _say(f"{len(lab.vms)} VMs are plugged in and on their networks")
    _wait_for_each_other(lab)
    for controller in lab.controllers.values():
        print(f"\n$ tunbridge status     # on {controller.host.name}\n{controller.command('status').rstrip()}")
    return _pings(lab)


def _wait_for_each_other(lab: Lab) -> None:
    """A host has to be told which ports others have bound before it sends frames there, and may have no tunnel yet."""
    for one, other in itertools.permutations(lab.vms.values(), 2):
        if one.network is other.network:
            with contextlib.suppress(AssertionError):  # the table tells
                one.wait_reaches(other, timeout=10.0)


def _pings(lab: Lab) -> bool:
    """Each VM pings each address, three times: VMs of its own network answer, and nobody else does."""
    addresses = sorted({vm.nic.address() for vm in lab.vms.values()})
    print("\nWho answers a ping, and how many of three:\n")
    print("".join(f"{title:<{_COLUMN}}" for title in ("from", *addresses)).rstrip(), flush=True)
    good = True
    for vm in lab.vms.values():
        own = {other.nic.address(): other for other in lab.vms.values() if other.network is vm.network}
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda address: _ping(lab, vm, address, own.get(address)), addresses))  # noqa: B023
        cells = [cell for cell, _ in answers]
        good = good and all(as_expected for _, as_expected in answers)
        print("".join(f"{cell:<{_COLUMN}}" for cell in (f"{vm.name} on {vm.host}", *cells)).rstrip(), flush=True)
    print("\nAll as it should be." if good else "\nThis is not as it should be.", flush=True)
    return good


def _ping(lab: Lab, vm: Vm, address: str, expected: Vm | None) -> tuple[str, bool]:
    """A cell of the table, and whether it is as it should be.

    :param expected: who should answer
    """
    if expected is vm:
        return "itself", True
    ping = vm.ping(address, _PINGS, timeout=1.0 if expected else 0.3)
    answered = next((other.name for other in lab.vms.values() if other.nic.mac == vm.neighbour(address)), "nobody")
    cell = f"{answered} {ping.received}/{ping.sent}" if ping.received else "nobody"
    if expected is None:
        return cell, not ping.received
    return cell, ping.complete and answered == expected.name


def _advice(lab: Lab) -> str:
    """What to type next."""
    first = next(iter(lab.vms.values()))
    controller = next(iter(lab.controllers.values()))
    tunbridge = [str(Path(sys.executable).with_name("tunbridge")), "--config-file", str(controller.config_file)]
    namespaces = [(host.name, host.namespace.name) for host in lab.hosts.values()]
    namespaces += [(vm.name, vm.namespace.name) for vm in lab.vms.values()]
    return "\n".join(
        [
            "",
            "As root, in another terminal: a shell in a VM or on a host is `ip netns exec NAMESPACE bash`:",
            "",
            *(f"    {name:<8}{namespace}" for name, namespace in namespaces),
            "",
            f"A ping, what becomes of its frames, the state of {controller.host.name}, and its flows:",
            "",
            f"    ip netns exec {first.namespace.name} ping 10.0.0.2",
            f"    {shlex.join([*tunbridge, 'trace', first.nic.device, '10.0.0.2'])}",
            f"    {shlex.join([*tunbridge, 'status'])}",
            f"    {shlex.join([*tunbridge, 'flows', 'br-tun'])}",
            f"    ovs-vsctl --db={controller.host.ovs.db} show",
            "",
            "Ctrl-C takes all of it away.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
