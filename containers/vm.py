"""The VM of a simulated hypervisor: the process that a network namespace of its own lasts as long as.

    unshare --net -- python3 -m containers.vm TAP MAC ADDRESS CONSOLE

makes one NIC with its cable to the hypervisor, where its end is TAP, and serves the console. No name is given to the
namespace, as ip-netns(8) would: that takes a mount, which AppArmor forbids containers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from containers.console import Console

MTU = 1400
"""Bytes: what every encapsulation leaves of an Ethernet's 1500."""


def main() -> None:
    """Be the VM that the command line describes, until a signal."""
    tap, mac, address, console = sys.argv[1:]
    hypervisor = str(os.getppid())
    nic = ["add", "eth0", "address", mac, "mtu", str(MTU)]
    peer = ["name", tap, "mtu", str(MTU), "netns", hypervisor]
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", *nic, "type", "veth", "peer", *peer)
    # The userspace datapath sends frames on as they come in, and leaves checksums to hardware that is not there.
    _run("ethtool", "--offload", "eth0", "tx", "off")
    _run("ip", "address", "add", address, "dev", "eth0")
    _run("ip", "link", "set", "eth0", "up")
    Console(Path(console)).serve_forever()


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
