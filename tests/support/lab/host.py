"""A host of the lab: a network namespace with an Open vSwitch of its own, as an operator leaves it to a controller.

    fabric            host
    ------            ----
    underlay ── eth0 ── br-phy   the address of the host, and its tunnels
    trunk ───── eth1 ── br-ex    the physical network, without an address

The userspace datapath sends tunnel packets through the bridge that has the address, hence br-phy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.private_ovs import Datapath, PrivateOvs
from scripts.processes import ChildProcess
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.lab.netns import Namespace, veth
from tests.support.lab.networks import PHYSICAL_NETWORK

UNDERLAY_DEVICE = "eth0"
PROVIDER_DEVICE = "eth1"
UNDERLAY_BRIDGE = "br-phy"
PHYSICAL_BRIDGE = "br-ex"


class HostSwitch(OvsHost):
    """The Open vSwitch of one host.

    :param directory: for its database, sockets and logs; it must exist
    :param namespace: where its daemons run
    """

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        PrivateOvs.__init__(self, directory, Datapath.NETDEV)  # in the lab's directory, which the lab removes
        self._namespace = namespace

    def _start(self, argv: list[str], log: Path, sock: Path) -> ChildProcess:
        with self._namespace.inside():
            return super()._start(argv, log, sock)

    def run(self, *argv: str) -> str:
        """A command of Open vSwitch that is told nothing about versions; its output.

        :raises ProcessError: it failed
        """
        return self._command(*argv)

    def add_bridge(self, name: str, *devices: str) -> None:
        """A bridge of the userspace datapath that switches by itself, as one that no controller manages."""
        ports = [word for device in devices for word in ("--", "add-port", name, device)]
        columns = ("datapath_type=netdev", "fail_mode=standalone")
        self.vsctl("add-br", name, "--", "set", "Bridge", name, *columns, *ports)


class LabHost:
    """One host.

    :param name: ``[DEFAULT] host``
    :param namespace: one of its own, not made yet
    :param directory: one of its own, not made yet
    :param addresses: on the underlay by IP version, with prefix lengths
    :param ip_version: of its tunnels
    """

    def __init__(
        self, name: str, namespace: Namespace, directory: Path, addresses: Mapping[int, str], ip_version: int = 4
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.directory = directory
        self.ovs = HostSwitch(directory, namespace)
        self._addresses = addresses
        self._ip_version = ip_version

    def __repr__(self) -> str:
        return self.name

    def tunnel_ip(self, version: int | None = None) -> str:
        """Its address on the underlay, where nothing is said the one that its tunnels have."""
        return self._addresses[version or self._ip_version].partition("/")[0]

    def create(self, fabric: Namespace, underlay: str, trunk: str, mtu: int) -> None:
        """Make the namespace with its cables, and start Open vSwitch.

        :param underlay: free name for the other end of its underlay cable in ``fabric``; ``trunk`` likewise
        :param mtu: bytes, of the cables
        """
        self.namespace.create()
        veth(self.namespace, UNDERLAY_DEVICE, fabric, underlay, mtu)
        veth(self.namespace, PROVIDER_DEVICE, fabric, trunk, mtu)
        self.directory.mkdir()
        self.ovs.start()
        self.ovs.add_bridge(UNDERLAY_BRIDGE, UNDERLAY_DEVICE)
        self.ovs.add_bridge(PHYSICAL_BRIDGE, PROVIDER_DEVICE)
        self.namespace.ip(f"link set {UNDERLAY_BRIDGE} up")
        for address in self._addresses.values():
            self.namespace.add_address(UNDERLAY_BRIDGE, address)

    def add_address(self, address: str) -> None:
        """Give it one more address on the underlay.

        :param address: with its prefix length
        """
        self.namespace.add_address(UNDERLAY_BRIDGE, address)


class HostController(Tunbridge):
    """The controller of one host; a context manager, as :class:`Tunbridge` is.

    :param topology: OVSDB connection method of the topology database
    :param local_ip: ``[ovs] local_ip``
    :param options: group → option → value, in place of those that the host needs or beside them
    """

    def __init__(
        self,
        host: LabHost,
        topology: str,
        local_ip: str,
        *,
        hub: str | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
        check: bool = True,
    ) -> None:
        self._options: dict[str, dict[str, object]] = {
            "DEFAULT": {"host": host.name},
            "ovs": {"local_ip": local_ip, "bridge_mappings": f"{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}"},
            "topology": {"connection": topology},
        }
        for group, values in (options or {}).items():
            self._options.setdefault(group, {}).update(values)
        super().__init__(host.ovs, hub=hub, options=self._options, check=check)
        self.host = host
        # Whoever removes the lab's directory removes this one with it, also when we were killed.
        (host.directory / self.directory.name).symlink_to(self.directory)

    def start(self) -> None:
        """Start the process, on its host; it need not answer yet."""
        with self.host.namespace.inside():
            super().start()

    def set_options(self, group: str, **options: object) -> None:
        """Give it other values of some options, for the next start."""
        self._options.setdefault(group, {}).update(options)
        self.write_config(self._options)

    def restart_with(self, group: str, **options: object) -> None:
        """Restart it with other values of some options, and wait until it answers."""
        self.set_options(group, **options)
        self.restart()
