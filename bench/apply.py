"""How long `tunbridge apply` takes with a document of the size of a rack; see docs/performance.md.

    python bench/apply.py                                   # 10,000 ports: new, unchanged, one changed, each changed
    python bench/apply.py --ports 100000 --networks 2000    # whether that is linear: some five minutes

`make bench` has the first three.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.table import Row, table
from tests.topology.ovsdb import OvsdbServer

ROOT = Path(__file__).resolve().parents[1]
_LIMITS = {"new": 6.0, "unchanged": 3.0, "one changed": 3.0}
"""Seconds that 10,000 ports may take; more of them in proportion."""


def document(ports: int, networks: int) -> dict[str, Any]:
    """So many ports with an address each, evenly on the networks."""
    return {
        "networks": [
            {
                "name": f"net{number}",
                "subnets": [{"cidr": "10.0.0.0/8", "gateway_ip": "10.0.0.1"}],
                "ports": [
                    {
                        "name": f"p{at}",
                        "mac_address": f"fa:16:3e:{at >> 16:02x}:{at >> 8 & 255:02x}:{at & 255:02x}",
                        "fixed_ips": [{"ip_address": f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}"}],
                        "device_id": f"d{at}",
                    }
                    for at in range(256 + number, 256 + ports, networks)
                ],
            }
            for number in range(networks)
        ]
    }


def seconds(server: OvsdbServer, path: Path) -> float:
    """Of one command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "controller.cli.commands", "--topology", server.connection, "apply", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _changed(wanted: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name, and the document that is applied next."""
    yield "new", wanted
    yield "unchanged", wanted
    wanted["networks"][0]["ports"][0]["device_owner"] = "network:dhcp"
    yield "one changed", wanted
    for network in wanted["networks"]:
        for port in network["ports"]:
            port["device_owner"] = "compute:nova"
    yield "each changed", wanted


def _measured(ports: int, networks: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as directory, OvsdbServer() as server:
        server.start()
        path = Path(directory) / "large.yaml"
        for name, wanted in _changed(document(ports, networks)):
            path.write_text(yaml.dump(wanted, Dumper=yaml.CSafeDumper))
            limit = _LIMITS[name] * max(1, ports / 10_000) if name in _LIMITS else None
            yield Row(
                f"apply {ports:,} ports, {name}", seconds(server, path), "s", limit, "limit" if limit else "",
                1.0 if limit else None,
            )  # fmt: skip


def rows(*, small: bool) -> Iterator[Row]:
    """See the module; without what changes each port."""
    return islice(_measured(1000, 20) if small else _measured(10_000, 200), len(_LIMITS))


def main() -> None:
    """Make it, apply it again, change one attribute of one port and of every port."""
    parser = argparse.ArgumentParser(description="Measure `tunbridge apply`.")
    parser.add_argument("--ports", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--networks", type=int, default=200, help="(default: %(default)s)")
    arguments = parser.parse_args()
    print(table(_measured(arguments.ports, arguments.networks)))


if __name__ == "__main__":
    main()
