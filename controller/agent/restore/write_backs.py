"""Writes back to the topology what a restored database lacks, apart from the host controller, which never waits."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace

from controller.runtime.worker import Worker, bisect
from topology.errors import TunbridgeError
from topology.source import TopologySource, WriteBack

_Part = tuple[str, str]
"""Kind and id."""


class WriteBacks(Worker[None, WriteBack]):
    """The worker; of several requests the last one counts.

    :param written: is told when it is done: id → why that one could not be written
    """

    drains = False

    def __init__(self, topology: TopologySource, written: Callable[[Mapping[str, str]], None]) -> None:
        super().__init__("write-backs")
        self._topology = topology
        self._written = written

    def put(self, wanted: WriteBack) -> None:
        """Have this written."""
        self.submit({None: wanted})

    def _do(self, batch: Mapping[None, WriteBack]) -> None:
        for wanted in batch.values():
            self._written(self._write(wanted))

    def _complain(self, batch: Mapping[None, WriteBack], error: Exception) -> None:
        """Who follows the database says that it does not answer."""

    def _write(self, wanted: WriteBack) -> dict[str, str]:
        """Write it in one transaction, or, where that is refused, part by part: one must not keep others back.

        The smallest parts that can be written by themselves are each host, and each network with its ports.
        """
        refusals: dict[str, str] = {}

        def write(parts: Mapping[_Part, None]) -> None:
            refusals.update(self._topology.write_back(_only(wanted, parts)))

        def refused(part: _Part, error: TunbridgeError) -> None:
            one = _only(wanted, (part,))
            refusals.update(dict.fromkeys([*one.networks, *one.ports, *one.hosts], str(error)))

        ids = [*wanted.networks, *(port.network_id for port in wanted.ports.values())]
        parts = [*(("host", name) for name in wanted.hosts), *(("network", id_) for id_ in ids)]
        bisect(dict.fromkeys(parts), write, refused)
        return refusals


def _only(wanted: WriteBack, parts: Container[_Part]) -> WriteBack:
    """Some parts of it."""
    return replace(
        wanted,
        networks={id_: network for id_, network in wanted.networks.items() if ("network", id_) in parts},
        ports={id_: port for id_, port in wanted.ports.items() if ("network", port.network_id) in parts},
        hosts={name: host for name, host in wanted.hosts.items() if ("host", name) in parts},
    )
