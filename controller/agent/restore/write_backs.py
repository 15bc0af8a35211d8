"""Writes back to the topology what a restored database lacks, apart from the host controller, which never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controller.runtime.worker import Worker, bisect
from topology.errors import TunbridgeError
from topology.model import Host, Network, Port
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
        """Write it in one transaction, or, where that is refused, part by part: one must not keep others back."""
        refusals: dict[str, str] = {}
        parts = _parts(wanted)

        def write(some: Mapping[_Part, WriteBack]) -> None:
            refusals.update(self._topology.write_back(_whole(some.values(), wanted.renew)))

        def refused(key: _Part, error: TunbridgeError) -> None:
            part = parts[key]
            refusals.update(dict.fromkeys([*part.networks, *part.ports, *part.hosts], str(error)))

        bisect(parts, write, refused)
        return refusals


def _parts(wanted: WriteBack) -> dict[_Part, WriteBack]:
    """The smallest that can be written by themselves: each host, and each network with its ports."""
    ids = dict.fromkeys([*wanted.networks, *(port.network_id for port in wanted.ports.values())])
    parts = {("host", name): WriteBack({}, {}, hosts={name: host}) for name, host in wanted.hosts.items()}
    for network_id in ids:
        parts["network", network_id] = WriteBack(
            {id_: network for id_, network in wanted.networks.items() if id_ == network_id},
            {id_: port for id_, port in wanted.ports.items() if port.network_id == network_id},
        )
    return parts


def _whole(parts: Iterable[WriteBack], renew: str | None) -> WriteBack:
    networks: dict[str, Network] = {}
    ports: dict[str, Port] = {}
    hosts: dict[str, Host] = {}
    for part in parts:
        networks |= part.networks
        ports |= part.ports
        hosts |= part.hosts
    return WriteBack(networks, ports, renew, hosts)
