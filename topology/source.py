"""Where a controller learns the topology from, and where it reports to, without saying how it is stored.

The topology OVSDB is one source; a Neutron server can become another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from topology.model import Host, Network, Port, PortStatus
from topology.security_groups import AddressGroup, SecurityGroup


@dataclass(frozen=True)
class RowProblem:
    """A row that breaks a rule of the model and is therefore treated as absent.

    :param where: table and row, e.g. ``Port 99f91280-…``
    :param object_id: id of the object, as far as the row has one
    :param reason: what is wrong with it
    """

    where: str
    object_id: str
    reason: str


@dataclass(frozen=True)
class TopologyVersion:
    """Which state of which topology a host has seen; what tells a database that was restored from a backup.

    :param database: UUID of the database's row of Topology; another one once a host has found the content to be older
        than what it had seen
    :param revision: changes made so far to what should exist
    """

    database: str
    revision: int


@dataclass(frozen=True)
class WriteBack:
    """What a host has in force and an older copy of the topology lacks, or has in an older form.

    :param hosts: others that are not there any more; those that are say themselves what they are
    :param renew: the database whose content was found to be older: it gets a new identity, so that hosts that see it
        later find that out too, however many changes were made meanwhile; None: it has one already
    """

    networks: Mapping[str, Network]
    ports: Mapping[str, Port]
    renew: str | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)


def restored(running: Network, older: Network | None) -> Network:
    """A network as a host writes it back: as it runs, and with the subnets that only the older form has.

    Those may hold addresses of ports of other hosts. No flow depends on them.
    """
    if older is None:
        return running
    ours = {subnet.id for subnet in running.subnets}
    subnets = [*running.subnets, *(subnet for subnet in older.subnets if subnet.id not in ours)]
    return replace(running, subnets=tuple(sorted(subnets, key=lambda subnet: subnet.id)))


@dataclass(frozen=True)
class PortInterest:
    """Ports of which a host has to be told wherever they are bound, or has not to be any more.

    :param asked: id → id of the network, as far as that is known; each is answered (:attr:`TopologyBatch.answered`)
    :param known: ids of others, of which it has been told already
    :param dropped: ids of those that are followed no longer
    """

    asked: Mapping[str, str | None] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TopologyBatch:
    """Changes that became visible together.

    In the maps, None stands for an object that is gone.

    :param complete: the batch is a whole snapshot and replaces all that was known before
    :param problems: every row that cannot be used now, whether or not it is in this batch that it became so
    :param version: of the topology; None: of a complete batch that it has none, otherwise that it has not changed
    :param answered: ids of ports that were asked for, of which all is told now that there is; see :class:`PortInterest`
    :param security_groups: with their rules; where a part of the topology is in view, those of the secured ports of
        this host and no others
    :param address_groups: likewise those that rules of these name
    :param group_members: id of a security group that rules of these name as the remote one, and an address or CIDR of
        one of its ports → whether it is a member now, or no longer: only what differs
    :param described: ids of those of the ports of which nothing has changed but :data:`topology.model.DESCRIPTIVE`
    """

    complete: bool
    networks: Mapping[str, Network | None] = field(default_factory=dict)
    ports: Mapping[str, Port | None] = field(default_factory=dict)
    hosts: Mapping[str, Host | None] = field(default_factory=dict)
    problems: tuple[RowProblem, ...] = ()
    version: TopologyVersion | None = None
    answered: frozenset[str] = frozenset()
    security_groups: Mapping[str, SecurityGroup | None] = field(default_factory=dict)
    address_groups: Mapping[str, AddressGroup | None] = field(default_factory=dict)
    group_members: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    described: frozenset[str] = frozenset()

    key: ClassVar[str] = "topology"
    """What it is about: of several that wait for one worker, one is made."""

    def merge(self, newer: TopologyBatch) -> TopologyBatch:
        """This batch and a later one as one."""
        answered = self.answered | newer.answered
        if newer.complete:
            return replace(newer, answered=answered)
        return TopologyBatch(
            self.complete,
            {**self.networks, **newer.networks},
            {**self.ports, **newer.ports},
            {**self.hosts, **newer.hosts},
            newer.problems,
            newer.version or self.version,
            answered,
            {**self.security_groups, **newer.security_groups},
            {**self.address_groups, **newer.address_groups},
            {**self.group_members, **newer.group_members},
            (self.described - newer.ports.keys()) | (newer.described - (self.ports.keys() - self.described)),
        )


@dataclass(frozen=True)
class PortReport:
    """What this host says of a port.

    :param claim: True: the port is bound here: its ``host`` becomes ``host`` and its status ``status``. False: it is
        not: where ``host`` still holds the claim, that is given up and the status becomes ``status``; where it does
        not, nothing changes.
    """

    port_id: str
    host: str
    claim: bool
    status: PortStatus


class TopologySource(Protocol):
    """A live view of the topology."""

    @property
    def connection(self) -> str:
        """The OVSDB connection method, e.g. ``unix:/run/tunbridge/topology.sock``."""

    @property
    def server(self) -> str | None:
        """The one of several connection methods that the view is kept current by; None: none is."""

    @property
    def connected(self) -> bool:
        """True while the view is being kept current."""

    @property
    def is_partial(self) -> bool:
        """Whether only what concerns one host is in view; see :meth:`follow`."""

    @property
    def rows(self) -> int:
        """How many rows are in view."""

    @property
    def rows_told(self) -> int:
        """How many came, changed or went so far."""

    def start(self, listener: Callable[[TopologyBatch], None]) -> None:
        """Begin to follow the topology, for ever: connect, re-connect, and hand each batch to ``listener``.

        Returns at once, also when the server is down. The first batch after each (re)connection is complete.
        ``listener`` is called in another thread and must only enqueue.
        """

    def follow(self, interest: PortInterest) -> None:
        """Follow other ports; returns at once. Of a view of the whole topology, all are followed anyway."""

    def report(self, reports: Iterable[PortReport]) -> int:
        """Write reports in one transaction; ports that are gone are passed over, rows that are right stay untouched.

        :returns: the number of rows changed
        :raises TopologyUnavailable: the database does not answer; nothing was written
        """

    def register(self, host: Host) -> bool:
        """Enter a host into the registry in one transaction, or bring what it says there up to date.

        The host must have an ``instance``. Its name is that instance's from then on, until the host is deleted; a name
        whose row has no instance belongs to the first that asks.

        :returns: whether anything was written
        :raises ConflictError: another installation has the name, or another host one of the tunnel addresses; the text
            says which, when it was last seen and what to do; nothing was written
        :raises TopologyUnavailable: the database does not answer; nothing was written
        """

    def heartbeat(self, name: str) -> None:
        """Say that a host lives, without waking those that follow the topology.

        Nothing happens when the host is not registered, so that one that was deleted stays so.

        :raises TopologyUnavailable: the database does not answer; nothing was written
        """

    def delete_host(self, name: str) -> bool:
        """Remove a host for good: everyone's tunnels to it go, and ports that it had bound are DOWN and bound nowhere.

        A host whose controller still runs comes back when that is started again, or sees the topology anew without
        it after the connection was lost.

        :returns: False when there was no such host
        :raises TopologyUnavailable: the database does not answer; nothing was written
        """

    def write_back(self, wanted: WriteBack) -> Mapping[str, str]:
        """Write what runs on a host and an older copy of the topology lacks, all that can be in one transaction.

        What the older content has given to others meanwhile, such as a segmentation id, stays theirs.

        :returns: id, of a host its name → why it could not be written, and what to do
        :raises TopologyUnavailable: the database does not answer; nothing was written
        """

    def stop(self) -> None:
        """End the connection and its threads."""
