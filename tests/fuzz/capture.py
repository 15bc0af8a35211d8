"""Makes the corpus: ``python -m tests.fuzz.capture`` writes the files under tests/fuzz/corpus anew.

Those named after Open vSwitch are what the installed one says to the real session in three situations, byte by byte as
it came. A file holds the three stages of :class:`tests.fuzz.replay.Replay`, each after its length (4 bytes).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from os_ken.controller import ofp_event
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.session import Session, Timeouts
from controller.openflow.wire.flow_messages import flow_mod
from tests.fuzz.replay import FLOWS
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply

CORPUS = Path(__file__).parent / "corpus"
DESC, PORTS, FLOW_DUMP, OPEN, FIRST, COMMIT = 4, 5, 6, 7, 8, 10
"""The session's xids for what it asks."""

FOREIGN = (
    "priority=1,actions=NORMAL",
    "priority=5,ip,nw_src=10.0.0.0/8,actions=ct(commit,zone=3,nat(src=10.0.0.1),exec(load:1->NXM_NX_CT_MARK[]))",
    "priority=6,ipv6,ipv6_dst=2001:db8::/32,tcp,tp_dst=80,actions=controller(reason=action,max_len=128,id=3)",
    "priority=7,dl_vlan=9,actions=clone(pop_vlan,output:1),resubmit(,3)",
    "table=3,priority=8,tun_id=0x2,actions=learn(table=4,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "table=4,priority=9,arp,arp_op=1,idle_timeout=300,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT",
    "table=5,priority=9,metadata=0x1/0xff,actions=write_metadata:0x5,goto_table:6",
    "table=6,actions=note:01.02.03,multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
    "table=7,ip,dl_src=02:00:00:00:00:00/fe:00:00:00:00:00,actions=group:1,set_queue:3,dec_ttl",
)


def pack(stages: Iterable[bytes]) -> bytes:
    """A file of the corpus."""
    return b"".join(struct.pack("!I", len(stage)) + stage for stage in stages)


def unpack(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The stages in a file of the corpus."""
    stages = []
    while data:
        (length,) = struct.unpack_from("!I", data)
        stages.append(data[4 : 4 + length])
        data = data[4 + length :]
    first, second, third = stages
    return first, second, third


class Recorder(socket.socket):
    """A connection that keeps what came in."""

    stages: list[bytes]

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        self.stages[-1] += data
        return data


class Capture:
    """Takes one connection and asks what :class:`tests.fuzz.replay.Replay` asks.

    :param foreign: give the bridge flows of others first, and ports that come and go at the end
    """

    def __init__(self, server: socket.socket, foreign: bool) -> None:
        sock, _ = server.accept()
        self._recorder = Recorder(fileno=sock.detach())
        self._recorder.stages = [b""]
        self._listed = threading.Event()
        self._foreign = foreign
        self.session = Session(Arrival(self._recorder, "ovs"), Timeouts(10, 10), self._emit)

    def _emit(self, event: Any, phase: str) -> None:
        if isinstance(event, ofp_event.EventOFPDescStatsReply):
            event.msg.datapath.accept("br0")
        elif isinstance(event, ofp_event.EventOFPPortDescStatsReply):
            self._listed.set()

    def run(self, ovs: OvsHost) -> Sequence[bytes]:
        thread = threading.Thread(target=self.session.run)
        thread.start()
        assert self._listed.wait(60)
        if self._foreign:  # only now: Open vSwitch removes the flows of a bridge that gets its first controller
            ovs.ofctl("add-group", "br0", "group_id=1,type=all,bucket=output:1")
            for flow in FOREIGN:
                ovs.ofctl("add-flow", "br0", flow)
        self._recorder.stages.append(b"")
        self.session.flows()
        self._recorder.stages.append(b"")
        mods = [partial(flow_mod, ofp.OFPFC_ADD, flow) for flow in FLOWS]
        self.session.commit(mods)
        if self._foreign:
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                ovs.vsctl("add-port", "br0", "tap\u00e9", "--", "add-port", "br0", "tap-long-name-of-mine")
                ovs.vsctl("del-port", "br0", "tap1")
            time.sleep(0.5)  # for the port-status, which nobody asks for
        self.session.close()
        thread.join()
        return self._recorder.stages


def real(*, foreign: bool, full: bool) -> bytes:
    """What Open vSwitch says, with flows of others and ports that come and go, or with a table that has no room."""
    with OvsHost() as ovs, socket.create_server(("127.0.0.1", 0)) as server:
        ovs.vsctl(
            "add-br", "br0", "--", "set", "bridge", "br0", "protocols=[OpenFlow10,OpenFlow13]", "fail_mode=secure"
        )
        ovs.vsctl("add-port", "br0", "tap1", "--", "add-port", "br0", "tap2")
        if full:
            table = ("--id=@t", "create", "Flow_Table", "flow_limit=1", "overflow_policy=refuse")
            ovs.vsctl("--", *table, "--", "set", "bridge", "br0", "flow_tables:0=@t")
        ovs.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        return pack(Capture(server, foreign).run(ovs))


def crafted() -> dict[str, bytes]:
    """Streams that a parser may stumble over; each was one that could hang or grow something, here or in os-ken."""
    ready = HELLO + features_reply(1) + desc_reply("serial number", DESC)
    ports = message_bytes(19, struct.pack("!HH4x", 13, 0), PORTS)
    dump = partial(message_bytes, 19)
    loop = message_bytes(0, struct.pack("!HHI", 1, 0, 0))
    port = struct.pack("!I4x6s2x16sII24x", 1, b"\2" * 6, b"\xff\xfe\n\x1b[31m\xc3\xa9\0\0\0\0\0\0", 0, 0)
    return {
        "hello-of-length-zero": pack((loop, b"", b"")),
        "answer-of-another-kind": pack(
            (ready + ports, message_bytes(21, b"", FLOW_DUMP), message_bytes(21, b"", COMMIT))
        ),
        "commit-answered-by-open": pack(
            (ready + ports, dump(struct.pack("!HH4x", 1, 0), FLOW_DUMP), _control(1, OPEN) + _control(1, COMMIT))
        ),
        "errors-without-end": pack(
            (
                ready + ports,
                dump(struct.pack("!HH4x", 1, 0), FLOW_DUMP),
                message_bytes(1, bytes(400), FIRST) * 20,
            )
        ),
        "more-without-end": pack((ready + ports, dump(struct.pack("!HH4x", 1, 1), FLOW_DUMP) * 500, b"")),
        "names-that-are-not-text": pack(
            (ready + dump(struct.pack("!HH4x", 13, 0) + port, PORTS) + message_bytes(12, bytes(8) + port), b"", b"")
        ),
        "errors-before-hello": pack((message_bytes(1, struct.pack("!HH", 0, 0) + b"\n\r\x1b]0;x\7") * 20, b"", b"")),
    }


def _control(kind: int, xid: int) -> bytes:
    return message_bytes(4, struct.pack("!IIIHH", 0x4F4E4600, 2300, OPEN, kind, 3), xid)


def main() -> None:
    """Write all files."""
    CORPUS.mkdir(exist_ok=True)
    files = crafted() | {
        "ovs-3.1-empty": real(foreign=False, full=False),
        "ovs-3.1-flows-of-others": real(foreign=True, full=False),
        "ovs-3.1-table-full": real(foreign=False, full=True),
    }
    for name, data in files.items():
        (CORPUS / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    main()
