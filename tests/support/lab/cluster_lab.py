"""A lab for faults whose topology database is a cluster: three members, and what makes ports, on machines of their own.

    fabric        m1, m2, m3, client      h1, h2
    ------        ------------------      ------
    control ────────── eth0                eth2     198.51.100.0/24: members, clients, and hosts towards them

A cable of it that hangs on the bridge ``apart`` reaches what hangs there too, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.cluster import Cluster, TopologyHost
from tests.support.host.full_disk import SmallDisk
from tests.support.http.api_process import Answer, ApiProcess
from tests.support.http.port_creator import PortCreator
from tests.support.lab.fault_lab import FaultLab
from tests.support.lab.host import LabHost
from tests.support.lab.netns import Namespace, veth
from tests.support.lab.spare_device import SpareDevice

_DISK = "64m"
"""What each member has: thousands of changes, and not long to fill."""

PORTS = (6642, 6644)
"""Of each member: for clients, and for other members."""

_MEMBERS = ("m1", "m2", "m3")

_CIDR = "10.1.0.0/16"
"""Of the ports that come and go."""


class ClusterLab(FaultLab):
    """Two hosts and their VMs, three members, and a machine that has the API twice."""

    cluster: Cluster

    def build(self) -> None:
        """See :meth:`FaultLab.build`."""
        self._addresses: dict[str, str] = {}
        for bridge in ("control", "apart"):
            self.fabric.ip(f"link add {bridge} type bridge stp_state 0", f"link set {bridge} up")
        self.client = self._namespace("client")
        self.client.create()
        self._connect("client", self.client, "eth0")
        self.disks: dict[str, SmallDisk] = {}
        self.machines = {name: self._machine(name) for name in _MEMBERS}
        self.cluster = Cluster(members=list(self.machines.values()))
        self._stack.enter_context(self.cluster)
        super().build()

    def _machine(self, name: str) -> TopologyHost:
        """One that is to be a member, on a small disk."""
        namespace = self._namespace(name)
        namespace.create()
        self._connect(name, namespace, "eth0")
        directory = self.directory / name
        directory.mkdir()
        disk = self._stack.enter_context(SmallDisk(directory / "state", _DISK))
        self.disks[name] = disk
        return TopologyHost(directory, ip=self._addresses[name], ports=PORTS, inside=namespace.inside)

    def _connect(self, name: str, namespace: Namespace, device: str) -> None:
        veth(namespace, device, self.fabric, f"c-{name}", 1500)
        self.fabric.ip(f"link set c-{name} master control")
        self._addresses[name] = f"198.51.100.{len(self._addresses) + 1}"
        namespace.add_address(device, f"{self._addresses[name]}/24")

    def _meet(self, host: LabHost) -> None:
        self._connect(host.name, host.namespace, "eth2")
        super()._meet(host)

    # The topology

    @property
    def topology(self) -> str:
        """For the tools of the lab, which are in no namespace."""
        return self.cluster.sockets

    @property
    def connection(self) -> str:
        """For hosts and clients."""
        return self.cluster.connection

    def start_topology(self) -> None:
        """It was started before."""

    @property
    def host_options(self) -> dict[str, dict[str, object]]:
        """Beside those that each host needs."""
        return {"topology": {"connection": self.connection}}

    @contextmanager
    def cut_off(self, *names: str) -> Iterator[None]:
        """For the length of the block, some machines reach each other and none of the others."""
        self.fabric.ip(*(f"link set c-{name} master apart" for name in names))
        try:
            yield
        finally:
            self.fabric.ip(*(f"link set c-{name} master control" for name in names))

    def address_of(self, member: TopologyHost) -> str:
        """The IP address of a member."""
        return self._addresses[self.name_of(member)]

    def name_of(self, member: TopologyHost) -> str:
        """Of a member's machine."""
        return next(name for name, one in self.machines.items() if one is member)

    # Clients

    @contextmanager
    def api(self, connection: str | None = None, prefix: Sequence[str] = ()) -> Iterator[ApiProcess]:
        """A process of the Network API; it is asked :meth:`from_client`.

        :param connection: of its topology; None: that of all members
        :param prefix: put before its command
        """
        with ExitStack() as stack:
            with self.client.inside():
                process = stack.enter_context(ApiProcess(connection or self.connection, prefix=prefix))
            yield process

    def from_client(self, api: ApiProcess, method: str, path: str, body: object = None) -> Answer:
        """A request to it, from its machine."""
        with self.client.inside():
            return api.request(method, f"/v2.0{path}", body)

    @contextmanager
    def churn(self, name: str) -> Iterator[list[PortCreator]]:
        """Two API processes make ports of the GRE network of the VMs that stay.

        Each port is plugged into a host, bound, and unplugged; that host has one of them at a time.

        :param name: that the names of the ports begin with
        """
        network = self.staying["red"][0].network
        with ExitStack() as stack:
            apis = [stack.enter_context(self.api()) for _ in self.hosts]
            with self.client.inside():
                known = apis[0].get(f"/subnets?network_id={network.id}&cidr={_CIDR}")["subnets"]
                made = known or [apis[0].create("subnet", network_id=network.id, ip_version=4, cidr=_CIDR)]
            creators: list[PortCreator] = []
            stack.callback(lambda: _end_all(creators))
            for api, host in zip(apis, self.hosts.values(), strict=True):
                creators.append(
                    PortCreator(
                        api,
                        network.id,
                        f"{name}-{host.name}-",
                        body={"fixed_ips": [{"subnet_id": made[0]["id"]}]},
                        use=SpareDevice(host, self.controllers[host.name]).bind,
                        inside=self.client.inside,
                    )
                )
            yield creators


def _end_all(creators: Sequence[PortCreator]) -> None:
    for creator in creators:
        creator.end()


def with_hosts_file(path: Path) -> tuple[str, ...]:
    """Put before a command, it sees this file in the place of /etc/hosts, whatever is written to it later."""
    script = f'mount --bind {path} /etc/hosts && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
