"""How long `tunbridge apply` takes with a document of the size of a rack; see docs/performance.md.

python bench/apply.py [PORTS] [NETWORKS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.topology.ovsdb import OvsdbServer

ROOT = Path(__file__).resolve().parents[1]


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


def main() -> None:
    """Make it, apply it again, change one attribute of one port and of every port."""
    ports, networks = (int(arg) for arg in (*sys.argv[1:], *("10000", "200")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as directory, OvsdbServer() as server:
        server.start()
        path = Path(directory) / "large.yaml"
        wanted = document(ports, networks)
        path.write_text(yaml.dump(wanted, Dumper=yaml.CSafeDumper))
        print("| `tunbridge apply` | s |\n| --- | --- |")
        print(f"| makes {ports} ports on {networks} networks | {seconds(server, path):.1f} |", flush=True)
        print(f"| the same again | {seconds(server, path):.1f} |", flush=True)
        wanted["networks"][0]["ports"][0]["device_owner"] = "network:dhcp"
        path.write_text(yaml.dump(wanted, Dumper=yaml.CSafeDumper))
        print(f"| changes one port | {seconds(server, path):.1f} |", flush=True)
        for network in wanted["networks"]:
            for port in network["ports"]:
                port["device_owner"] = "compute:nova"
        path.write_text(yaml.dump(wanted, Dumper=yaml.CSafeDumper))
        print(f"| changes each port | {seconds(server, path):.1f} |", flush=True)


if __name__ == "__main__":
    main()
