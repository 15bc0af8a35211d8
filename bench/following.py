"""What it costs a host that the topology is large: with all of it followed, and with what concerns the host.

Twenty ports of two networks are plugged in on a private Open vSwitch (dummy datapath); the topology has so many others,
fifty on each network, on an ovsdb-server of its own. Figures, not assertions: docs/performance.md has some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import MeasuredHost, device, network_id
from controller.status.control_client import call
from scripts.processes import ProcessError
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.tables import DATABASE, own_row, segment_row, subnet_rows

PER_NETWORK = 50
HERE = [*range(1, 11), *range(PER_NETWORK + 1, PER_NETWORK + 11)]
"""Numbers of the ports that are plugged in."""
_TIMEOUT = 120.0  # seconds
_PACE = 0.01
"""Seconds from one change of others to the next, however long the server takes for one: none waits for another then."""
_TICK = os.sysconf("SC_CLK_TCK")


class Writer:
    """Writes to the topology, without a process for each change."""

    def __init__(self, server: OvsdbServer) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(server.socket))

    def write(self, *operations: dict[str, Any]) -> None:
        """One transaction, which must succeed."""
        request = {"method": "transact", "params": [DATABASE, *operations], "id": 1}
        self._socket.sendall(json.dumps(request).encode())
        text = b""
        while True:
            text += self._socket.recv(1 << 20)
            try:
                results = json.loads(text)["result"]
            except ValueError:
                continue
            assert all("error" not in (result or {}) for result in results), results
            return

    def fill(self, ports: int, columns: Callable[[int], Mapping[str, Any]] = lambda _: {}) -> None:
        """Networks with so many ports in all.

        :param columns: what the port of a number has besides
        """
        self.write({"op": "insert", "table": "Topology", "row": {"revision": 1}})
        for index in range(ports // PER_NETWORK):
            row = own_row(network_id(index))
            network, subnet = ["uuid", str(row)], ["uuid", str(subnet_rows(row)[0])]
            subnet_id = f"{index:08x}-0000-4000-8000-000000000003"
            operations = network_operations(network_id(index), number=index + 1, subnet_id=subnet_id)
            for operation, at in zip(operations, (segment_row(row), subnet_rows(row)[0], row), strict=True):
                operation["uuid"] = str(at)
            for number in range(index * PER_NETWORK + 1, (index + 1) * PER_NETWORK + 1):
                allocation = {"subnet": subnet, "ip_address": f"10.0.0.{number % PER_NETWORK + 1}"}
                one = device(number)
                operations += [
                    {"op": "insert", "table": "IpAllocation", "uuid-name": f"ip{number}", "row": allocation},
                    {
                        **port_operation(
                            one.port_id or "", network, one.mac,
                            fixed_ips=["named-uuid", f"ip{number}"], **columns(number),
                        ),
                        "uuid": one.port_id,
                    },
                ]  # fmt: skip
            self.write(*operations)

    def change(self, number: int, **columns: Any) -> None:
        """Change a port as an API or a host does: what should exist has another revision then."""
        self.write(
            {"op": "update", "table": "Port", "where": [["id", "==", device(number).port_id]], "row": columns},
            {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]},
        )


def _cpu(tunbridge: Tunbridge) -> float:
    """Seconds of processor that the controller took so far."""
    fields = Path(f"/proc/{tunbridge.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _memory(tunbridge: Tunbridge) -> float:
    """MB that it has in use."""
    status = Path(f"/proc/{tunbridge.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _rows(tunbridge: Tunbridge) -> tuple[int, int]:
    """Rows that it has, and that it was told of."""
    text = str(call(str(tunbridge.run_path / "control.sock"), "metrics", timeout=60)).replace("\\n", "\n")
    names = ("tunbridge_topology_rows", "tunbridge_topology_rows_total")
    first, second = (re.search(rf"^{name} (\S+)", text, re.MULTILINE) for name in names)
    assert first is not None and second is not None
    return int(float(first[1])), int(float(second[1]))


def _start(tunbridge: Tunbridge) -> tuple[float, float]:
    """Seconds of time and of processor until all ports are up."""
    began = time.monotonic()
    tunbridge.start()
    for number in HERE:
        tunbridge.wait_device(device(number).name, _TIMEOUT, status="ACTIVE")
    tunbridge.wait_in_sync(_TIMEOUT)
    return time.monotonic() - began, _cpu(tunbridge)


def _foreign_changes(writer: Writer, tunbridge: Tunbridge, ports: int, times: int) -> float:
    """Seconds of processor for each change of a port that does not concern the host."""
    before, due = _cpu(tunbridge), time.monotonic()
    for time_ in range(times):
        writer.change(ports - time_ % PER_NETWORK, name=f"changed {time_}")
        due += _PACE
        time.sleep(max(0.0, due - time.monotonic()))
    tunbridge.wait_in_sync(_TIMEOUT)
    return (_cpu(tunbridge) - before) / times


def _bindings(writer: Writer, host: MeasuredHost, networks: range, *, requested: bool) -> float:
    """Seconds, median, from the OpenFlow port to flows and tag, of the first port of each of these networks.

    :param requested: it was requested for this host before, so that it is followed already
    """
    taken = []
    for network in networks:
        number = network * PER_NETWORK + 1
        if requested:
            writer.change(number, requested_host="host1")
        time.sleep(0.5)  # until all that the one before has brought about is over
        taken.append(host.plug([device(number)]).bound)
        host.unplug([device(number)])
    return statistics.median(taken)


@contextmanager
def _host(server: OvsdbServer, follow: str, hub: str) -> Iterator[tuple[OvsHost, Tunbridge]]:
    options = {"topology": {"connection": server.connection, "follow": follow}}
    with OvsHost() as ovs:
        tunbridge = Tunbridge(ovs, hub=hub, options=options, ready=False)
        tunbridge.run_path.mkdir(mode=0o700)
        (tunbridge.run_path / "topology.sock").symlink_to(server.socket)  # where its topology is looked for
        try:
            yield ovs, tunbridge
        finally:
            tunbridge.stop()


def _measure(follow: str, ports: int, arguments: argparse.Namespace) -> None:
    with OvsdbServer() as server:
        writer = Writer(server.start())
        writer.fill(ports)
        with _host(server, follow, arguments.hub) as (ovs, tunbridge):
            ovs.vsctl("add-br", "br-int")
            ovs.plug_many([device(number) for number in HERE])
            cold = _start(tunbridge)
            tunbridge.stop()
            warm = _start(tunbridge)
            memory, (rows, told) = _memory(tunbridge), _rows(tunbridge)
            foreign = _foreign_changes(writer, tunbridge, ports, arguments.changes)
            line = (
                f"{follow:<5} {ports:>6}  {memory:6.1f}  {cold[0]:5.2f} /{cold[1]:5.2f}  {warm[0]:5.2f} /{warm[1]:5.2f}"
                f"  {rows:>6} {told:>6}  {1000 * foreign:6.3f}"
            )
            times, networks = arguments.bindings, ports // PER_NETWORK
            if times and networks >= 2 + 2 * times:
                host = MeasuredHost(ovs, tunbridge)
                with host.watcher:
                    known = _bindings(writer, host, range(2, 2 + times), requested=True)
                    fresh = _bindings(writer, host, range(2 + times, 2 + 2 * times), requested=False)
                line += f"  {1000 * known:6.2f} {1000 * fresh:6.2f}"
            print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what following the topology costs a host.")
    parser.add_argument("--ports", default="200,10000", help="sizes of the topology (default: %(default)s)")
    parser.add_argument("--follow", default="all,host", help="values of the option (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=500, help="changes of others (default: %(default)s)")
    parser.add_argument("--bindings", type=int, default=20, help="ports plugged, twice (default: %(default)s)")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    arguments = parser.parse_args()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    print("                       first start    next start     rows of the    ms for   ms to bind a port")
    print("follow ports     MB    s / s of CPU   s / s of CPU   topology: all   a change  followed, or not")
    try:
        for follow in arguments.follow.split(","):
            for ports in arguments.ports.split(","):
                _measure(follow, int(ports), arguments)
    except (AssertionError, ProcessError) as error:
        print(f"following: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
