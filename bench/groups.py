"""What port security and security groups cost, beside the same without them, and beside OVN with the same ACLs.

All ports are of one network on one host, with a private Open vSwitch (dummy datapath) for each of the four: Tunbridge
and OVN, with the default group and without security. They take turns within one run. What is measured is the same for
all: from the last new port's OFPT_PORT_STATUS until the first frame from each has reached a neighbour, until the last
flow of br-int has changed, and until the port is said to be up. Then a remote group of many members that are elsewhere.
Figures, not assertions: docs/performance.md says what to expect.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import device, network_id
from bench.ovn import LogicalPort, Ovn, OvnMissing, find_ovn
from bench.port_frames import FirstFrames, FramePort, udp_frame, wait_connected
from bench.watch import BridgeWatch, TableWatch, Watcher, prefer_us
from scripts.processes import ProcessError
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge

TIMEOUT = 180.0
NEIGHBOUR = 1
"""The number of the port that frames are sent to; others begin after it."""
QUIET = 0.5
"""Seconds without a changed flow after which a change is taken to be done."""
_MEMBERS_FROM = 100_000
"""The number of the first member elsewhere."""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Timing:
    """How long it took to bind some ports, in seconds.

    :param frame: until a frame from each had reached the neighbour
    :param flows: until br-int had its last flow
    :param told: until the last was said to be up: ACTIVE, or ``up`` of OVN's northbound database
    :param agent: processor time of the host's controller
    :param central: of what a cloud has once: databases and, with OVN, ovn-northd
    :param switch: of ovs-vswitchd
    """

    frame: float
    flows: float
    told: float
    agent: float
    central: float
    switch: float


@dataclass(frozen=True)
class Change:
    """What a change of a remote group's members took, from the database's telling of it on.

    :param seconds: until the last flow of br-int had changed
    :param flow_mods: flows of br-int that were added, deleted or changed
    :param flows: of all bridges then
    """

    seconds: float
    flow_mods: int
    flows: int


class RowWatch(TableWatch):
    """Also when a row went."""

    def __init__(self, path: Path, database: str, table: str, key: str, column: str) -> None:
        self.gone: dict[str, float] = {}
        super().__init__(path, database, table, key, column)

    def _rows(self, updates: Mapping[str, Any], now: float) -> None:
        before = set(self.values)
        super()._rows(updates, now)
        self.gone |= dict.fromkeys(before - self.values.keys(), now)


def port_id(number: int) -> str:
    """Id of a port; a device of that number has it as its iface-id."""
    return device(number).port_id or ""


def address(number: int) -> str:
    """The IPv4 address of a port."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


class Peer(ABC):
    """One host, with what controls it.

    :param ovs: its switch
    :param watcher: reads all that is watched
    """

    label: str

    def __init__(self, ovs: OvsHost, watcher: Watcher, told: RowWatch) -> None:
        self.ovs, self._watcher, self.told = ovs, watcher, told
        self.bridge = BridgeWatch(ovs.rundir / "br-int.mgmt")
        for source in (self.bridge, told):
            watcher.add(source)
        self._ports: dict[int, FramePort] = {}

    @abstractmethod
    def agent_pid(self) -> int:
        """Process id of the host's controller."""

    @abstractmethod
    def central_pids(self) -> Sequence[int]:
        """Process ids of what a cloud has once."""

    @abstractmethod
    def is_up(self, name: str) -> bool:
        """Whether a port is said to be up."""

    @abstractmethod
    def add_members(self, numbers: Sequence[int]) -> None:
        """Make ports of the default group on a network that is not here, in one transaction."""

    @abstractmethod
    def delete_members(self, numbers: Sequence[int]) -> None:
        """Delete some of these, in one transaction."""

    def plug(self, numbers: Sequence[int], interval: float = 0.001) -> Timing:
        """Plug devices in one ovs-vsctl transaction, and wait until all are up and heard.

        :param interval: seconds between two frames of a port
        """
        before, words = self._cpu(), list[str]()
        for number in numbers:
            self._ports[number] = FramePort(self.ovs.directory / f"f{number}")
            words += [*device(number).plug_command("br-int", ""), self._ports[number].column]
        frames = {number: _frame(number) for number in numbers if number != NEIGHBOUR}
        senders = FirstFrames(self._ports[NEIGHBOUR], frames, self._ports, interval)
        if frames:  # so that the switch knows where it is, and does not send each frame to each of the ports
            self._ports[NEIGHBOUR].send(_frame(NEIGHBOUR, 0))
        with self._vsctl(words):
            if NEIGHBOUR in numbers:
                wait_connected(self._ports[NEIGHBOUR], self._watcher, TIMEOUT)
            self._watcher.until(
                lambda: senders.are_all_there and all(self.is_up(port_id(number)) for number in numbers),
                TIMEOUT,
                f"{self.label}: {len(numbers)} ports up and heard",
                senders.step,
            )
        start = max(self.bridge.ports[device(number).name] for number in numbers)
        used = [after - was for after, was in zip(self._cpu(), before, strict=True)]
        self.settle()
        heard = [self._ports[NEIGHBOUR].seen[number] for number in frames]
        told = max(self.told.values[port_id(number)][1] for number in numbers)
        return Timing(max(heard, default=start) - start, self.bridge.changed - start, told - start, *used)

    def unplug(self, numbers: Sequence[int]) -> None:
        """Unplug devices in one ovs-vsctl transaction and wait until nothing is left of them."""
        with self._vsctl([word for number in numbers for word in ("--", "del-port", "br-int", device(number).name)]):
            self._watcher.until(
                lambda: (
                    not any(
                        self.is_up(port_id(number)) or device(number).name in self.bridge.ports for number in numbers
                    )
                ),
                TIMEOUT,
                f"{self.label}: {len(numbers)} ports gone",
            )
        for number in numbers:
            self._ports.pop(number).close()
        self.settle()

    def settle(self) -> None:
        """Wait until the flows of br-int have not changed for a while."""
        begun = time.monotonic()

        def is_quiet() -> bool:
            return time.monotonic() > max(begun, self.bridge.changed) + QUIET

        self._watcher.until(is_quiet, TIMEOUT, f"{self.label}: flows that change no more", lambda: 0.02)

    def change(self, numbers: Sequence[int], *, add: bool) -> Change:
        """Add members of the default group elsewhere, or delete one, and wait until the flows follow."""
        changes, names = self.bridge.changes, [port_id(number) for number in numbers]
        doing = Thread(target=self.add_members if add else self.delete_members, args=(numbers,))
        doing.start()  # it waits for a process, while all that is watched is read here
        self._watcher.until(
            lambda: all((name in self.told.values) is add for name in names) and self.bridge.changes > changes,
            TIMEOUT,
            f"{self.label}: {len(numbers)} members {'added' if add else 'deleted'}",
        )
        doing.join()
        self.settle()
        start = min(self.told.values[name][1] if add else self.told.gone[name] for name in names)
        return Change(self.bridge.changed - start, self.bridge.changes - changes, self.flows())

    def flows(self) -> int:
        """How many flows all bridges have."""
        said = [self.ovs.ofctl("dump-aggregate", bridge) for bridge in self.ovs.vsctl("list-br").split()]
        return sum(int(one.partition("flow_count=")[2].split()[0]) for one in said)

    def close(self) -> None:
        """Close the sockets of all ports."""
        for port in self._ports.values():
            port.close()

    def _cpu(self) -> tuple[float, float, float]:
        agent, central, switch = (self.agent_pid(),), self.central_pids(), (self.ovs.vswitchd_pid,)
        used = [sum(_processor(pid) for pid in pids) for pids in (agent, central, switch)]
        return used[0], used[1], used[2]

    @contextmanager
    def _vsctl(self, words: Sequence[str]) -> Iterator[None]:
        process = subprocess.Popen(["ovs-vsctl", f"--db={self.ovs.db}", f"--timeout={TIMEOUT:.0f}", *words])
        try:
            yield
        finally:
            if process.wait():
                raise RuntimeError(f"ovs-vsctl ended with status {process.returncode}")


class TunbridgePeer(Peer):
    """A host of Tunbridge."""

    def __init__(self, ovs: OvsHost, watcher: Watcher, tunbridge: Tunbridge, ports: int, *, secured: bool) -> None:
        self.label = "tunbridge, default group" if secured else "tunbridge, without security"
        self._tunbridge, self._secured = tunbridge, secured
        tunbridge.apply({"networks": [self._network(0, range(NEIGHBOUR, ports + 1)), self._network(1, ())]})
        tunbridge.wait_in_sync(TIMEOUT)
        self._server = _children(tunbridge.pid)
        told = RowWatch(tunbridge.run_path / "topology.sock", "Tunbridge_Topology", "Port", "id", "status")
        super().__init__(ovs, watcher, told)

    def _network(self, number: int, ports: Sequence[int]) -> dict[str, Any]:
        return {
            "id": network_id(number),
            "provider:network_type": "gre",
            "provider:segmentation_id": 1 + number,
            "port_security_enabled": self._secured,
            "subnets": [{"cidr": "10.0.0.0/8"}],
            "ports": [
                {
                    "id": port_id(port),
                    "mac_address": device(port).mac,
                    "fixed_ips": [{"ip_address": address(port)}],
                }
                for port in ports
            ],
        }

    def agent_pid(self) -> int:
        return self._tunbridge.pid

    def central_pids(self) -> Sequence[int]:
        return self._server

    def is_up(self, name: str) -> bool:
        return self.told.values.get(name, ("",))[0] == "ACTIVE"

    def add_members(self, numbers: Sequence[int]) -> None:
        self._tunbridge.command("apply", str(self._tunbridge.written({"networks": [self._network(1, numbers)]})))

    def delete_members(self, numbers: Sequence[int]) -> None:
        which = [[["id", "==", port_id(number)]] for number in numbers]
        self._tunbridge.topology_transact(*({"op": "delete", "table": "Port", "where": where} for where in which))


class OvnPeer(Peer):
    """A host of OVN."""

    def __init__(self, ovs: OvsHost, watcher: Watcher, ovn: Ovn, ports: int, *, secured: bool) -> None:
        self.label = "OVN, default group" if secured else "OVN, without security"
        self._ovn = ovn
        if secured:
            ovn.make_default_group()
        ovn.make_switch("net", [_logical(number) for number in range(NEIGHBOUR, ports + 1)], secured=secured)
        ovn.make_switch("elsewhere", ())
        told = RowWatch(ovs.directory / "ovnnb.sock", "OVN_Northbound", "Logical_Switch_Port", "name", "up")
        super().__init__(ovs, watcher, told)

    def agent_pid(self) -> int:
        return self._ovn.controller_pid

    def central_pids(self) -> Sequence[int]:
        return self._ovn.central_pids

    def is_up(self, name: str) -> bool:
        return self.told.values.get(name, (False,))[0] is True

    def add_members(self, numbers: Sequence[int]) -> None:
        self._ovn.add_ports("elsewhere", [_logical(number) for number in numbers], secured=True)

    def delete_members(self, numbers: Sequence[int]) -> None:
        self._ovn.delete_ports([port_id(number) for number in numbers])


def _logical(number: int) -> LogicalPort:
    return LogicalPort(port_id(number), device(number).mac or "", address(number))


def _frame(number: int, to: int = NEIGHBOUR) -> bytes:
    ends = number, to
    return udp_frame(number, [device(end).mac or "" for end in ends], [address(end) for end in ends])


def _processor(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _children(pid: int) -> list[int]:
    """Process ids of the servers that a controller has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


@contextmanager
def all_peers(ports: int, hub: str, *, with_ovn: bool) -> Iterator[list[Peer]]:
    """Hosts with so many ports that may be plugged, none of which is."""
    with ExitStack() as stack:
        watcher, peers = stack.enter_context(Watcher()), list[Peer]()
        for secured in (False, True):
            ovs = stack.enter_context(OvsHost())
            tunbridge = stack.enter_context(Tunbridge(ovs, hub=hub))
            peers.append(TunbridgePeer(ovs, watcher, tunbridge, ports, secured=secured))
        for secured in (False, True) if with_ovn else ():
            ovs = stack.enter_context(OvsHost())
            ovn = stack.enter_context(Ovn(ovs))
            peers.append(OvnPeer(ovs, watcher, ovn, ports, secured=secured))
        for peer in peers:
            stack.callback(peer.close)
            peer.plug([NEIGHBOUR])
        yield peers


def _say(line: str) -> None:
    print(line, flush=True)


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


_COLUMNS = tuple(Timing.__dataclass_fields__)


def _say_timings(what: str, timings: Mapping[str, Sequence[Timing]]) -> None:
    _say(f"{what + ': milliseconds, median / p90':<50} {'n':>3}  " + "  ".join(f"{name:>15}" for name in _COLUMNS))
    for label, of in timings.items():
        cells = []
        for column in _COLUMNS:
            values = [1000 * getattr(timing, column) for timing in of]
            cells.append(f"{statistics.median(values):7.1f} /{_p90(values):6.1f}")
        _say(f"{label:<50} {len(of):>3}  " + "  ".join(cells))


def _one_by_one(peers: Sequence[Peer], others: int, repetitions: int) -> dict[str, list[Timing]]:
    """One port beside so many, in turns."""
    present = list(range(NEIGHBOUR + 1, NEIGHBOUR + 1 + others))
    timings: dict[str, list[Timing]] = {peer.label: [] for peer in peers}
    for peer in peers:
        if present:
            peer.plug(present, 0.02)
    for number in range(NEIGHBOUR + 1 + others, NEIGHBOUR + 1 + others + repetitions):
        for peer in peers:
            timings[peer.label].append(peer.plug([number]))
            peer.unplug([number])
    for peer in peers:
        if present:
            peer.unplug(present)
    return timings


def _at_once(peers: Sequence[Peer], size: int, repetitions: int) -> tuple[dict[str, list[Timing]], dict[str, float]]:
    """So many ports in one transaction, in turns; and the flows that one port has."""
    numbers = list(range(NEIGHBOUR + 1, NEIGHBOUR + 1 + size))
    timings: dict[str, list[Timing]] = {peer.label: [] for peer in peers}
    flows: dict[str, float] = {}
    for _ in range(repetitions):
        for peer in peers:
            before = peer.flows()
            timings[peer.label].append(peer.plug(numbers, 0.02))
            flows[peer.label] = (peer.flows() - before) / size
            peer.unplug(numbers)
    return timings, flows


def _remote_group(peers: Sequence[Peer], members: int, repetitions: int) -> dict[str, dict[str, list[Change]]]:
    """So many members elsewhere at once, then one more and one fewer, in turns."""
    peers = [peer for peer in peers if "default group" in peer.label]
    results: dict[str, dict[str, list[Change]]] = {peer.label: {} for peer in peers}
    _say(f"{'remote group':<50} {'flows':>7} {'flow-mods':>10} {'ms, median / p90':>20}")
    everybody = range(_MEMBERS_FROM, _MEMBERS_FROM + members)
    one = _MEMBERS_FROM + members
    all_added, added, deleted = f"{members} members at once", f"one beside {members}", f"one of {members + 1} deleted"
    for peer in peers:
        _say(f"{peer.label + ': before':<50} {peer.flows():>7}")
        results[peer.label] = {all_added: [peer.change(everybody, add=True)], added: [], deleted: []}
    for _ in range(repetitions):
        for peer in peers:
            results[peer.label][added].append(peer.change([one], add=True))
            results[peer.label][deleted].append(peer.change([one], add=False))
    for label, changes in results.items():
        for what, of in changes.items():
            times = [1000 * change.seconds for change in of]
            mods = statistics.median(change.flow_mods for change in of)
            took = f"{statistics.median(times):.1f} / {_p90(times):.1f}"
            _say(f"{label + ': ' + what:<50} {of[-1].flows:>7} {mods:>10.0f} {took:>20}")
    return results


def _measure(arguments: argparse.Namespace, *, with_ovn: bool) -> dict[str, Any]:
    results: dict[str, Any] = {}
    ports = 1 + max(*arguments.ports, *(others + arguments.repetitions for others in arguments.others))
    with all_peers(ports, arguments.hub, with_ovn=with_ovn) as peers:
        for others in arguments.others:
            what = f"one port beside {others}"
            timings = _one_by_one(peers, others, arguments.repetitions)
            _say_timings(what, timings)
            results[what] = {label: [asdict(one) for one in of] for label, of in timings.items()}
        for size in arguments.ports:
            what = f"{size} ports at once"
            timings, flows = _at_once(peers, size, arguments.bulk_repetitions)
            _say_timings(what, timings)
            _say("flows for each port: " + "; ".join(f"{label} {n:.2f}" for label, n in flows.items()))
            results[what] = {label: [asdict(one) for one in of] for label, of in timings.items()}
            results[f"{what}, flows for each"] = flows
        if arguments.members:
            changes = _remote_group(peers, arguments.members, arguments.repetitions)
            results["remote group"] = {
                label: {what: [asdict(one) for one in many] for what, many in of.items()}
                for label, of in changes.items()
            }
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what security groups cost, beside none and beside OVN.")
    parser.add_argument("--others", default="5,200", help="ports beside one, comma-separated (default: %(default)s)")
    parser.add_argument("--ports", default="200", help="sizes in bulk, comma-separated (default: %(default)s)")
    parser.add_argument("--members", type=int, default=2000, help="of the remote group; 0: none (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=20, help="turns of each single one (default: %(default)s)")
    parser.add_argument("--bulk-repetitions", type=int, default=3, help="turns of each bulk (default: %(default)s)")
    parser.add_argument("--without-ovn", action="store_true", help="measure Tunbridge alone")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, in seconds, to FILE")
    arguments = parser.parse_args()
    for name in ("others", "ports"):
        try:
            setattr(arguments, name, [int(size) for size in getattr(arguments, name).split(",") if size])
        except ValueError:
            parser.error(f"--{name}: {getattr(arguments, name)!r} is no list of numbers")
    return arguments


def main() -> int:
    arguments, peer = _arguments(), ""
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    _say(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}")
    if not prefer_us():
        _say("no real-time priority (needs root): on a busy machine the figures come out too good")
    try:
        peer = "" if arguments.without_ovn else find_ovn().version
        _say(f"OVN {peer}" if peer else "OVN: not measured: --without-ovn")
    except OvnMissing as error:
        _say(f"OVN: not measured: {error}")
    try:
        results = _measure(arguments, with_ovn=bool(peer))
    except (TimeoutError, ConnectionError, ProcessError, RuntimeError) as error:
        print(f"groups: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        facts = {"hub": arguments.hub, "ovn": peer, "python": platform.python_version(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps({**facts, "load": load, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
