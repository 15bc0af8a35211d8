"""Writes back to the topology what a restored database lacks, apart from the host controller, which never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from os_ken.lib import hub

from controller.runtime.workers import Workers
from controller.runtime.writers import RETRY
from topology.errors import TopologyError, TopologyUnavailable
from topology.source import TopologySource, WriteBack


class WriteBacks:
    """The worker; of several wishes the last one counts.

    :param written: is told when it is done: id → why that one could not be written
    """

    def __init__(
        self, topology: TopologySource, workers: Workers, written: Callable[[Mapping[str, str]], None]
    ) -> None:
        self._topology = topology
        self._workers = workers
        self._written = written
        self._wanted: hub.Queue = hub.Queue()

    def put(self, wanted: WriteBack) -> None:
        """Have this written."""
        self._wanted.put(wanted)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._wanted.put(None)

    def run(self) -> None:
        """Write what is wanted, until :meth:`stop`."""
        while (wanted := self._wanted.get()) is not None:
            while wanted is not None and not self._workers.stopping:
                while not self._wanted.empty():
                    wanted = self._wanted.get()
                if wanted is None:
                    return
                try:
                    self._written(self._write(wanted))
                    break
                except TopologyUnavailable:
                    self._workers.sleep(RETRY)

    def _write(self, wanted: WriteBack) -> dict[str, str]:
        """Write it in one transaction, or, where that is refused, part by part: one must not keep others back."""
        try:
            return dict(self._topology.write_back(wanted))
        except TopologyUnavailable:
            raise
        except TopologyError as error:
            parts = _parts(wanted)
            if len(parts) < 2:
                return dict.fromkeys([*wanted.networks, *wanted.ports, *wanted.hosts], str(error))
        refused: dict[str, str] = {}
        for part in parts:
            refused |= self._write(part)
        return refused


def _parts(wanted: WriteBack) -> list[WriteBack]:
    ids = dict.fromkeys([*wanted.networks, *(port.network_id for port in wanted.ports.values())])
    hosts = [WriteBack({}, {}, wanted.renew, {name: host}) for name, host in wanted.hosts.items()]
    return hosts + [
        WriteBack(
            {id_: network for id_, network in wanted.networks.items() if id_ == network_id},
            {id_: port for id_, port in wanted.ports.items() if port.network_id == network_id},
            wanted.renew,
        )
        for network_id in ids
    ]
