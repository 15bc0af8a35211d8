"""A whole session on bytes of a real switch, and on what becomes of them when somebody changes some.

No hang, no other exception than the project's own, nothing that grows with what a peer sends. The corpus is made by
tests/fuzz/capture.py.
"""

from __future__ import annotations

import logging
import struct
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from os_ken.lib import hub

from tests.fuzz.capture import CORPUS, unpack
from tests.fuzz.replay import FLOWS, Replay
from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply

FILES = {path.stem: unpack(path.read_bytes()) for path in sorted(CORPUS.glob("*.bin"))}
REAL = {name: stages for name, stages in FILES.items() if name.startswith("ovs-")}
pytestmark = pytest.mark.skipif(hub.HUB_TYPE != "native", reason="the peers here are native threads")
EXAMPLES = settings(max_examples=40, suppress_health_check=list(HealthCheck))

SAID = {"ovs-3.1-empty": (0, True), "ovs-3.1-flows-of-others": (9, True), "ovs-3.1-table-full": (0, False)}
"""Flows of each captured switch, and whether it took the two of the bundle."""


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Thousands of connections that end as they should would bury all else in a log that is shown."""
    logger = logging.getLogger("controller.openflow")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("name", FILES)
def test_the_corpus(name: str) -> None:
    """Every stream that ever made trouble is read to its end."""
    assert Replay(FILES[name]).run().failures == []


@pytest.mark.parametrize("name", REAL)
def test_a_replay_is_the_real_thing(name: str) -> None:
    """What the switch once said is understood again: ports, flows and the answer to the bundle, none passed over."""
    played = Replay(REAL[name], patience=20).run()
    assert (played.flows_seen, played.committed) == SAID[name]
    assert played.ports_seen >= 3


def changes(stage: bytes) -> st.SearchStrategy[bytes]:
    """A stage with a few bytes changed, taken out, doubled or put in."""
    place = st.integers(0, max(len(stage) - 1, 0))
    number = st.sampled_from([b"\0", b"\1", b"\4", b"\7", b"\x08", b"\x13", b"\xff", b"\xff\xff"]) | st.binary(
        max_size=9
    )

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = bytearray(stage)
        for start, length, new in edits:
            changed[start : start + length] = new
        return bytes(changed)

    edit = st.tuples(place, st.sampled_from([0, 1, 1, 1, 2, 4, 8, 64]), number)
    return st.lists(edit, max_size=4).map(change)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Three stages of the corpus, from one file or from several, with changes in one of them or in all."""
    files = st.sampled_from(list(FILES.values()))
    base = draw(files)
    first, second, third = (draw(st.sampled_from([base, base, base, draw(files)]))[stage] for stage in range(3))
    return draw(changes(first)) if draw(st.booleans()) else first, draw(changes(second)), draw(changes(third))


@EXAMPLES
@given(streams())
def test_changed_streams(stages: tuple[bytes, bytes, bytes]) -> None:
    """Whatever is changed, the session ends, and ends with an error of its own or none."""
    assert Replay(stages).run().failures == []


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(EXAMPLES, max_examples=2000)
@given(streams())
def test_changed_streams_at_length(stages: tuple[bytes, bytes, bytes]) -> None:
    """The same for some minutes."""
    assert Replay(stages).run().failures == []


READY = HELLO + features_reply(1) + desc_reply("serial number", 4)
FLOODS = {
    "echo requests": message_bytes(2, bytes(100)),
    "packet-ins": message_bytes(10, bytes(16) + struct.pack("!HH4x", 1, 4) + bytes(66)),
    "flows nobody asked for": message_bytes(19, struct.pack("!HH4x", 1, 0) + bytes(0)),
    "lists of ports nobody asked for": message_bytes(19, struct.pack("!HH4x", 13, 1) + bytes(64 * 20), 77),
    "barriers": message_bytes(21),
    "changes of a port": message_bytes(12, bytes(72)),
}


@pytest.mark.parametrize("message", FLOODS.values(), ids=FLOODS.keys())
def test_floods_leave_nothing(message: bytes) -> None:
    """Thousands of messages that nobody asked for take no more memory than one turn of them."""
    data = READY + message * min(2_000_000 // len(message), 20_000)
    replay = Replay((data, b"", b""))
    tracemalloc.start()
    try:
        replay.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert replay.failures == []
    assert peak < 500_000


def test_a_bundle_was_asked_for() -> None:
    """The replay above does ask: without its answers there is neither a dump nor a bundle."""
    first, _, _ = REAL["ovs-3.1-empty"]
    played = Replay((first, b"", b"")).run()
    assert (played.flows_seen, played.committed, played.failures) == (None, None, [])
    assert len(FLOWS) == 2
