"""A simulated hypervisor: an Open vSwitch on the userspace datapath, and one VM plugged into it.

It leaves the host as an operator leaves it to a controller: br-phy has the underlay's NIC and address, br-int has the
VM's tap, plugged dead. The controller is another container, which shares Open vSwitch's run directory.

The environment says what the VM is: ``VM_PORT`` (id of its port in the topology), ``VM_MAC``, ``VM_ADDRESS`` (with its
prefix length). When a part ends, all end, and Docker starts the container again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from containers.console import ConsoleError, ask
from scripts.private_ovs import Datapath, PrivateOvs
from scripts.processes import ChildProcess, ProcessError

RUN = Path("/run/openvswitch")
CONSOLE = Path("/run/vm/console.sock")
UNDERLAY = "eth0"

_START_TIMEOUT = 20.0  # seconds
_CHECK_INTERVAL = 0.2  # seconds until the end of a part is noticed


@dataclass(frozen=True)
class Vm:
    """The VM's NIC.

    :param port: id in the topology
    :param mac: MAC address
    :param address: IP address with its prefix length
    """

    port: str
    mac: str
    address: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Vm:
        """What the environment says.

        :raises ProcessError: it does not say all
        """
        names = ("VM_PORT", "VM_MAC", "VM_ADDRESS")
        if missing := [name for name in names if not environment.get(name)]:
            raise ProcessError(f"not set in the environment: {', '.join(missing)}")
        return cls(*(environment[name] for name in names))

    @property
    def tap(self) -> str:
        """The hypervisor's end of its cable, as Nova names it."""
        return f"tap{self.port[:11]}"

    def plug(self) -> list[str]:
        """The ovs-vsctl commands that plug it, as a hypervisor does; dead, so that it is silent until it is bound."""
        return [
            *("--", "--may-exist", "add-port", "br-int", self.tap, "tag=4095", "vlan_mode=trunk", "trunks=4095"),
            *("--", "set", "Interface", self.tap, f"external_ids:iface-id={self.port}"),
            *(f'external_ids:attached-mac="{self.mac}"', "external_ids:iface-status=active"),
        ]


def main() -> int:
    """Run until SIGTERM (0), or until a part ends (1)."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        vm = Vm.from_environment(os.environ)
        os.umask(0o007)
        os.setgid(RUN.stat().st_gid)  # sockets are for whoever the run directory is for: the controller
        _serve(vm, ended)
    except ProcessError as error:
        print(f"hypervisor: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(vm: Vm, ended: threading.Event) -> None:
    guest = ["unshare", "--net", "--", sys.executable, "-m", "containers.vm"]
    machine = ChildProcess([*guest, vm.tap, vm.mac, vm.address, str(CONSOLE)], name="the VM")
    ovs = PrivateOvs(RUN, Datapath.NETDEV)
    try:
        _wait_for(machine)
        ip("link", "set", vm.tap, "promisc", "on", "up")
        ovs.start()
        _underlay(ovs)
        # br-int is there before the controller, so that the VM can be plugged; `secure`: it forwards nothing meanwhile.
        ovs.vsctl(
            *("--may-exist", "add-br", "br-int"),
            *("--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"),
            *vm.plug(),
        )
        print(f"Open vSwitch runs; {vm.tap} is plugged into br-int", flush=True)
        while not ended.wait(_CHECK_INTERVAL):
            machine.require_running()
            ovs.require_running()
    finally:
        ovs.stop()
        machine.stop()


def _wait_for(machine: ChildProcess) -> None:
    """Wait until the VM answers.

    :raises ProcessError: it does not in time
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        machine.require_running()
        try:
            if ask(CONSOLE, "true")[0] == 0:
                return
        except ConsoleError as error:
            if time.monotonic() > deadline:
                raise ProcessError(str(error)) from None
        time.sleep(0.05)


def _underlay(ovs: PrivateOvs) -> None:
    """Put the underlay's NIC into br-phy, and its address on it: there the userspace datapath sends tunnel packets."""
    addresses = [
        f"{address['local']}/{address['prefixlen']}"
        for device in json.loads(ip("-json", "-4", "address", "show", "dev", UNDERLAY))
        for address in device.get("addr_info", [])
    ]
    ovs.vsctl(
        *("--may-exist", "add-br", "br-phy"),
        *("--", "set", "Bridge", "br-phy", "datapath_type=netdev", "fail_mode=standalone"),
        *("--", "--may-exist", "add-port", "br-phy", UNDERLAY),
    )
    ip("address", "flush", "dev", UNDERLAY)
    ip("link", "set", "br-phy", "up")
    for address in addresses:
        ip("address", "replace", address, "dev", "br-phy")


def ip(*words: str) -> str:
    """A command of ip(8): its output.

    :raises ProcessError: it failed
    """
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise ProcessError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
