"""The worker that writes back what a restored topology lacks, against a source that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from controller.agent.restore.write_backs import WriteBacks
from controller.runtime.backoff import Backoff
from topology.errors import ConflictError, TopologyError, TopologyUnavailable
from topology.model import Host, Network, NetworkType, Port
from topology.source import WriteBack

N1 = Network("00000000-0000-4000-8000-0000000000a1", NetworkType.GRE, 1)
N2 = Network("00000000-0000-4000-8000-0000000000a2", NetworkType.GRE, 2)
P1 = Port("00000000-0000-4000-8000-0000000000c1", N1.id, "fa:16:3e:00:00:01")
P2 = Port("00000000-0000-4000-8000-0000000000c2", N2.id, "fa:16:3e:00:00:02")
WANTED = WriteBack({N1.id: N1, N2.id: N2}, {P1.id: P1, P2.id: P2}, hosts={"h2": Host("h2")})


class Source:
    """A topology that takes all but what ``refuses`` raises an error for."""

    def __init__(self, refuses: Callable[[WriteBack], TopologyError | None]) -> None:
        self._refuses = refuses
        self.taken: list[WriteBack] = []

    def write_back(self, wanted: WriteBack) -> Mapping[str, str]:
        error = self._refuses(wanted)
        if error is not None:
            raise error
        self.taken.append(wanted)
        return {}


def run(source: Source, *wanted: WriteBack) -> list[Mapping[str, str]]:
    """Have these written; what was told of it."""
    told: list[Mapping[str, str]] = []
    worker: WriteBacks

    def written(refused: Mapping[str, str]) -> None:
        told.append(refused)
        worker.stop()

    worker = WriteBacks(source, written)  # type: ignore[arg-type]
    for one in wanted:
        worker.put(one)
    worker.run()
    return told


def test_of_several_requests_the_last_one_counts() -> None:
    """What waited before is not written: it may not be true any more."""
    source = Source(lambda wanted: None)
    last = WriteBack({}, {}, renew="x")
    assert run(source, WANTED, last) == [{}]
    assert source.taken == [last]


def test_it_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it does not answer, or its disk is full, it is tried again."""
    monkeypatch.setattr(WriteBacks, "backoff", Backoff(0.01, 0.01))
    errors = [TopologyUnavailable("away"), TopologyUnavailable("full")]
    source = Source(lambda wanted: errors.pop() if errors else None)
    assert run(source, WANTED) == [{}]
    assert source.taken == [WANTED]


def test_one_that_is_refused_keeps_no_other_back() -> None:
    """Where the whole is refused, each network is written with its ports, and each host; the rest has its reason."""
    source = Source(lambda wanted: ConflictError("in the way") if N1.id in wanted.networks else None)
    assert run(source, WANTED) == [{N1.id: "in the way", P1.id: "in the way"}]
    assert source.taken == [
        WriteBack({}, {}, hosts=WANTED.hosts),
        WriteBack({N2.id: N2}, {P2.id: P2}),
    ]
