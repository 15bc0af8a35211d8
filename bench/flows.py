"""Flows to a switch and back: 20,000 ``Flow`` objects in a bundle beside ``ovs-ofctl --bundle``, and a dump of them
beside ``ovs-ofctl dump-flows``, on a private Open vSwitch (dummy datapath), in turns.

Ours begins with the objects and ends with the barrier's answer; theirs begins with a file of the same flows. Garbage is
searched as seldom as by a controller that serves.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.flow import Flow, ModVlanVid, Normal, match
from bench.table import Row, table
from controller.openflow.channel.openflow_client import Client
from controller.openflow.tables.saved_tables import read_flows
from controller.openflow.wire.bundles import bundle
from controller.openflow.wire.flow_messages import decode_flow_stats_reply, flow_mod, flow_stats_request
from controller.runtime import garbage
from scripts.processes import ProcessError
from tests.support.host.ovs import OvsHost

_BRIDGE, _TIMEOUT, _REPETITIONS = "br0", 60.0, 5
_DECODED_LIMIT = 40_000
"""Flows that are to be decoded in a second."""


def made(number: int) -> list[Flow]:
    """So many flows of the shape in which a tunnel's frames reach a port."""
    return [
        Flow(2, match(tun_id=at >> 12, dl_dst=f"fa:16:3e:{at >> 16:02x}:{at >> 8 & 255:02x}:{at & 255:02x}"),
             (ModVlanVid(1 + (at >> 12)), Normal()), at, 20)
        for at in range(number)
    ]  # fmt: skip


def _send(client: Client, flows: Sequence[Flow]) -> None:
    def messages(first: int) -> bytes:
        mods = (flow_mod(ofp.OFPFC_ADD, flow, xid) for xid, flow in enumerate(flows, first + 1))
        return bundle(1, mods, open_xid=first, commit_xid=first + len(flows) + 1)

    if refused := client.write(len(flows) + 2, messages):
        raise ProcessError(f"{len(refused)} flows are refused, the first: {refused[0][1]}")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _dump(client: Client) -> list[bytes]:
    """The parts of a dump as they come, undecoded."""

    def request(xid: int) -> bytes:
        return bytes((client.version,)) + flow_stats_request(xid)[1:]

    return client.ask(request, ofp.OFPT_MULTIPART_REPLY, bytes)


def _rows(flows: Sequence[Flow], repetitions: int) -> Iterator[Row]:
    """Of so many flows."""
    times: dict[str, list[float]] = {name: [] for name in ("ours", "ovs-ofctl", "dump", "their dump", "decode")}
    with OvsHost() as ovs:
        ovs.vsctl("add-br", _BRIDGE, "--", "set", "Bridge", _BRIDGE, "fail_mode=secure")
        client = Client(ovs.rundir / f"{_BRIDGE}.mgmt", (ofp.OFP_VERSION,), _TIMEOUT)
        _send(client, flows)
        file = ovs.directory / "flows"
        file.write_text("".join(f"{line}\n" for line in ovs.dump(_BRIDGE, cookies=True)))
        for _ in range(repetitions):
            ovs.ofctl("del-flows", _BRIDGE)
            times["ours"].append(_seconds(lambda: _send(client, flows)))
            times["dump"].append(_seconds(lambda: read_flows(client)))
            times["their dump"].append(_seconds(lambda: ovs.ofctl("dump-flows", _BRIDGE)))
            parts = _dump(client)
            times["decode"].append(_seconds(lambda parts=parts: [decode_flow_stats_reply(one) for one in parts]))  # type: ignore[misc]
            ovs.ofctl("del-flows", _BRIDGE)
            times["ovs-ofctl"].append(
                _seconds(lambda: ovs.ofctl("-O", "OpenFlow14", "--bundle", "add-flows", _BRIDGE, str(file)))
            )
        client.close()
    median, number = {name: statistics.median(found) for name, found in times.items()}, len(flows)
    yield Row(
        f"{number:,} flows accepted", number / median["ours"], "flows/s", number / median["ovs-ofctl"],
        "ovs-ofctl --bundle", 1.0, more_is_better=True, series="accepted", size=number, against="flows",
    )  # fmt: skip
    yield Row(
        f"dump of {number:,} flows decoded", number / median["decode"], "flows/s", _DECODED_LIMIT, "limit", 1.0,
        more_is_better=True, series="decoded", size=number, against="flows",
    )  # fmt: skip
    yield Row(
        f"dump of {number:,} flows read and decoded", 1000 * median["dump"], "ms", 1000 * median["their dump"],
        "ovs-ofctl dump-flows", 2.0, series="dump", size=number, against="flows",
    )  # fmt: skip


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    garbage.loaded()
    for size in (100, 1000) if small else (1000, 5000, 20_000):
        yield from _rows(made(size), 1 if small else _REPETITIONS)


if __name__ == "__main__":
    print(table(list(rows(small="--small" in sys.argv))))
