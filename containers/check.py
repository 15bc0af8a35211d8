"""The check of docker-compose.yml: applies the demo, and lets its VMs ping each other.

The environment says where the topology database answers (``TOPOLOGY``, an OVSDB connection method) and what each VM is
(``VM1``, ``VM2``: path of its console, and its address). The exit status is the result: 0, both reach each other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from containers.console import ConsoleError, ask

DEMO = Path(__file__).parents[1] / "examples" / "demo.yaml"

_TIMEOUT = 60.0  # seconds until the first ping must have been answered
_PING = ("ping", "-n", "-c", "5", "-i", "0.2", "-W", "2")
_FIRST_PING = ("ping", "-n", "-c", "1", "-W", "1")


@dataclass(frozen=True)
class Vm:
    """One VM.

    :param console: path of its console
    :param address: IP address
    """

    console: str
    address: str


def main() -> int:
    """Check, and say what was seen; the exit status."""
    try:
        topology = os.environ["TOPOLOGY"]
        one, other = (Vm(*os.environ[name].split()) for name in ("VM1", "VM2"))
    except (KeyError, ValueError, TypeError):
        print("check: TOPOLOGY, VM1 and VM2 are not as they should be in the environment", file=sys.stderr)
        return 2
    if subprocess.run(["tunbridge", "--topology", topology, "apply", str(DEMO)], stdin=subprocess.DEVNULL).returncode:
        return 1
    return 0 if pings(one, other) and pings(other, one) else 1


def pings(vm: Vm, target: Vm, timeout: float = _TIMEOUT) -> bool:
    """Whether each of some pings is answered, once one was; says what ping says.

    :param timeout: seconds until the first one must have been answered
    """
    deadline = time.monotonic() + timeout
    while (first := _ask(vm, *_FIRST_PING, target.address))[0]:
        if time.monotonic() > deadline:
            print(f"{vm.address} does not reach {target.address} within {timeout:g} s:\n{first[1]}", flush=True)
            return False
        time.sleep(0.2)
    status, output = _ask(vm, *_PING, target.address)
    print(f"{vm.address} pings {target.address}:\n{output}", flush=True)
    return status == 0 and " 0% packet loss" in output


def _ask(vm: Vm, *argv: str) -> tuple[int, str]:
    try:
        return ask(vm.console, *argv)
    except ConsoleError as error:
        return 1, f"{error}\n"


if __name__ == "__main__":
    sys.exit(main())
