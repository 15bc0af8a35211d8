"""What floods of OpenFlow messages cost a controller, and how long a port takes to come up meanwhile.

On a private Open vSwitch (dummy datapath) with the real ``tunbridge run``. Figures, not assertions:
docs/reliability.md says what to expect.
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from tests.support.openflow import switch
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply
from tests.support.openflow.peers import FLOODS, PeerHost, flooding

STRANGERS = 60
SECONDS = 3.0
_AFTER = re.compile(r"after ([\d.]+) ms")


def milliseconds(host: PeerHost) -> float:
    """Plug a port; how long it took to come up, as the controller says."""
    host.serves()
    return float(_AFTER.findall(host.controller.log_text())[-1])


def measure(host: PeerHost, what: str, memory: int) -> None:
    """Print a line about what goes on at the moment.

    :param memory: bytes of the controller before
    """
    cpu, start = host.cpu(), time.monotonic()
    time.sleep(SECONDS)  # the time that is measured
    share = (host.cpu() - cpu) / (time.monotonic() - start)
    ports = sorted(milliseconds(host) for _ in range(3))
    grown = (host.memory() - memory) / 2**20
    print(
        f"{what:36} processor {share:4.2f}  memory {grown:+5.1f} MiB  port up after {ports[0]:.0f}-{ports[-1]:.0f} ms"
    )


def main() -> None:
    """Print a line for each flood."""
    hub = os.environ.get("OSKEN_HUB_TYPE", "eventlet")
    with PeerHost.running(hub, prepare=switch.add_bridge, bridge_mappings=f"physnet1:{switch.BRIDGE}") as host:
        measure(host, f"nothing, {hub}", host.memory())
        memory = host.memory()
        with ExitStack() as stack:
            first = HELLO + features_reply(0xF00) + desc_reply("None", 4)
            for number in range(STRANGERS):
                make = list(FLOODS.values())[number % len(FLOODS)]
                stack.enter_context(flooding(stack.enter_context(host.peer()), make, first=first))
            time.sleep(1.0)  # until their 64 KiB are read
            measure(host, f"{STRANGERS} strangers flood", memory)
        for name, make in FLOODS.items():
            memory = host.memory()
            with switch.Switch(host.controller.of_port, host.serial(switch.BRIDGE)) as bridge:
                host.wait_log(f"at {bridge.name})")
                stop = switch.flooding(bridge, make)
                try:
                    measure(host, f"a bridge floods with {name}", memory)
                finally:
                    stop()


if __name__ == "__main__":
    main()
