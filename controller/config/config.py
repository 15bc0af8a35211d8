"""The configuration: oslo.config options of one load, checked and frozen.

Groups and names are those of ``openvswitch_agent.ini``, so that the file of neutron-openvswitch-agent can be read as
it is; options that are not known here are left alone. Nothing is taken from the environment or from oslo.config's
global ``CONF``, and no option changes after :func:`load`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from oslo_config import cfg

from controller.config import option_types as kinds
from controller.config.api_options import ApiConfig, api_options
from controller.config.notify_options import NotificationsConfig, notify_options
from controller.config.quota_options import QuotasConfig, quota_options
from controller.config.tls_options import TlsConfig, tls_options
from controller.config.watch_options import MetricsConfig, metrics_options
from topology.errors import ConfigError
from topology.model import NetworkType
from topology.ovsdb.tls import ANY, TlsFiles
from topology.rules.allocation.segment_allocation import AllocationPolicy, Range

DEFAULT_FILE = "/etc/tunbridge/tunbridge.conf"
"""Read when it exists and no file is named."""

_SHOWN_VALUE_MAX = 200

_option = kinds.option


@dataclass(frozen=True)
class OvsConfig(TlsConfig):
    """Group ``[ovs]``: this host's Open vSwitch. Times are in seconds."""

    ovsdb_connection: str
    integration_bridge: str
    tunnel_bridge: str
    int_peer_patch_port: str
    tun_peer_patch_port: str
    local_ip: str | None
    bridge_mappings: Mapping[str, str]
    datapath_type: str
    of_listen_method: str
    of_listen_address: str
    of_listen_port: int
    of_connect_timeout: float
    of_request_timeout: float

    @property
    def tls(self) -> TlsFiles | None:
        """For OpenFlow and the local OVSDB; None: no TLS."""
        return self.tls_files("[ovs]")


@dataclass(frozen=True)
class AgentConfig:
    """Group ``[agent]``: tunnels, and how the host behaves. Times are in seconds."""

    tunnel_types: tuple[str, ...]
    vxlan_udp_port: int
    l2_population: bool
    arp_responder: bool
    dont_fragment: bool
    tunnel_csum: bool
    report_interval: float
    agent_down_time: float
    audit_interval: float


@dataclass(frozen=True)
class TopologyConfig(TlsConfig):
    """Group ``[topology]``: the topology database, as OVSDB connection methods (ovsdb(7))."""

    connection: str | None
    listen: tuple[str, ...]

    @property
    def tls(self) -> TlsFiles | None:
        """For both ends of a connection to the topology database; None: no TLS."""
        return self.tls_files("[topology]")


@dataclass(frozen=True)
class NetworkConfig:
    """Group ``[network]``: what is allocated to networks and ports that leave it open."""

    tenant_network_type: str
    tunnel_id_ranges: tuple[Range, ...]
    network_vlan_ranges: Mapping[str, tuple[Range, ...]]
    base_mac: str


@dataclass(frozen=True)
class Config:
    """All options, and what follows from them.

    :param files: that they were read from, for what has options of its own there
    """

    host: str
    debug: bool
    log_file: str | None
    state_path: str
    run_path: str
    ovs: OvsConfig
    agent: AgentConfig
    topology: TopologyConfig
    api: ApiConfig
    metrics: MetricsConfig
    network: NetworkConfig
    notifications: NotificationsConfig
    quotas: QuotasConfig
    files: tuple[str, ...] = ()

    @property
    def topology_connection(self) -> str:
        """Where the topology database answers: ``[topology] connection``, or else the embedded one's socket."""
        return self.topology.connection or f"unix:{os.path.join(self.run_path, 'topology.sock')}"

    @property
    def control_socket(self) -> str:
        """Where the controller of this host answers the command line."""
        return os.path.join(self.run_path, "control.sock")

    def allocation_policy(self) -> AllocationPolicy:
        """Group ``[network]``, as who applies documents takes it."""
        return AllocationPolicy(
            NetworkType(self.network.tenant_network_type),
            self.network.tunnel_id_ranges,
            self.network.network_vlan_ranges,
            self.network.base_mac,
        )


_DEFAULT = (
    _option("host", None, kinds.host_name, "host name", "Name of this host in the topology (default: its host name)."),
    _option("debug", "false", kinds.boolean, "boolean", "Log at level DEBUG, libraries included."),
    _option("log_file", None, kinds.optional(kinds.absolute_path), "path", "Log to this file instead of stderr."),
    _option("state_path", "/var/lib/tunbridge", kinds.absolute_path, "path", "Directory of what outlives a restart."),
    _option("run_path", "/run/tunbridge", kinds.socket_directory, "path", "Directory of sockets and pid files."),
)

_OVS = (
    _option(
        "ovsdb_connection",
        "unix:/var/run/openvswitch/db.sock",
        kinds.connection_method,
        "connection",
        "OVSDB of this host's Open vSwitch.",
    ),
    _option("integration_bridge", "br-int", kinds.interface_name, "bridge", "Bridge that devices are plugged into."),
    _option("tunnel_bridge", "br-tun", kinds.interface_name, "bridge", "Bridge of the tunnels to other hosts."),
    _option("int_peer_patch_port", "patch-tun", kinds.interface_name, "port", "Integration bridge's end of the patch."),
    _option("tun_peer_patch_port", "patch-int", kinds.interface_name, "port", "Tunnel bridge's end of the patch."),
    _option(
        "local_ip", None, kinds.optional(kinds.tunnel_endpoint), "IP address", "Own end of tunnels; unset: no tunnels."
    ),
    _option("bridge_mappings", "", kinds.bridge_mappings, "mappings", "Physical networks and their bridges."),
    _option(
        "datapath_type", "system", kinds.one_of("system", "netdev"), "choice", "Datapath of bridges that are made."
    ),
    _option(
        "of_listen_method", "tcp", kinds.one_of("tcp", "ssl", "unix"), "choice", "How OpenFlow connections arrive."
    ),
    _option("of_listen_address", "127.0.0.1", kinds.ip_address, "IP address", "Where OpenFlow connections arrive."),
    _option("of_listen_port", "6653", kinds.port_number, "port number", "TCP port of OpenFlow connections."),
    _option("of_connect_timeout", "5", kinds.seconds(0.1, 3600), "seconds", "Longest OpenFlow handshake."),
    _option("of_request_timeout", "10", kinds.seconds(0.1, 3600), "seconds", "Longest wait for an OpenFlow reply."),
    *tls_options(peer_name=ANY),
)

_AGENT = (
    _option("tunnel_types", "gre", kinds.tunnel_types, "list", "Encapsulations of this host, preferred first."),
    _option("vxlan_udp_port", "4789", kinds.port_number, "port number", "UDP port of VXLAN tunnels."),
    _option("l2_population", "true", kinds.boolean, "boolean", "Send known unicast straight to the host that has it."),
    _option("arp_responder", "true", kinds.boolean, "boolean", "Answer ARP and ND locally (needs l2_population)."),
    _option("dont_fragment", "true", kinds.boolean, "boolean", "Set DF on tunnel packets."),
    _option("tunnel_csum", "false", kinds.boolean, "boolean", "Set the checksum of tunnel headers."),
    _option("report_interval", "30", kinds.seconds(0.1, 86400), "seconds", "Time between reports that the host lives."),
    _option("agent_down_time", "75", kinds.seconds(0.2, 604800), "seconds", "Silence after which a host is down."),
    _option("audit_interval", "60", kinds.seconds_or_never(1, 86400), "seconds", "Time between checks of all flows."),
)

_TOPOLOGY = (
    _option("connection", None, kinds.connection, "connections", "Topology database; several: members of a cluster."),
    _option("listen", "", kinds.listen, "connections", "Where the embedded topology database serves other hosts."),
    *tls_options(peer_name=None),
)

_NETWORK = (
    _option(
        "tenant_network_type",
        "gre",
        kinds.one_of(*(kind.value for kind in NetworkType if kind is not NetworkType.FLAT)),
        "choice",
        "Type of networks that name none.",
    ),
    _option("tunnel_id_ranges", "1:16777215", kinds.tunnel_id_ranges, "ranges", "Tunnel ids to allocate from."),
    _option("network_vlan_ranges", "", kinds.network_vlan_ranges, "ranges", "VLAN ids to allocate from, by network."),
    _option("base_mac", "fa:16:3e:00:00:00", kinds.base_mac, "MAC address", "First octets of MAC addresses made."),
)


def list_opts() -> list[tuple[str, tuple[cfg.Opt, ...]]]:
    """All options by group, in the form that oslo.config's generator takes."""
    return [
        ("DEFAULT", _DEFAULT),
        ("ovs", _OVS),
        ("agent", _AGENT),
        ("topology", _TOPOLOGY),
        ("api", api_options()),
        ("metrics", metrics_options()),
        ("network", _NETWORK),
        ("notifications", notify_options()),
        ("quotas", quota_options()),
    ]


def default_files() -> tuple[str, ...]:
    """The files to read when none is named: :data:`DEFAULT_FILE`, when it is there."""
    return (DEFAULT_FILE,) if os.path.exists(DEFAULT_FILE) else ()


def load(files: Sequence[str], topology_override: str | None = None) -> Config:
    """Read configuration files; of an option that is set more than once, the last value holds.

    :param files: paths, in the order in which they are read
    :param topology_override: OVSDB connection methods that replace ``[topology] connection``
    :raises ConfigError: a file cannot be read, or a value cannot be used; the text names file, option and value
    """
    reader = _Reader(files)
    if topology_override is not None:
        try:
            override = kinds.connection(topology_override)
        except ValueError as error:
            raise ConfigError(f"--topology {topology_override!r}: {error}") from None
        if override is None:
            raise ConfigError("--topology '': expected unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT")
    values = {group: {opt.dest: reader.read(group, opt.dest) for opt in opts} for group, opts in list_opts()}
    if topology_override is not None:
        values["topology"]["connection"] = override
    default = values["DEFAULT"]
    config = Config(
        **{**default, "host": default["host"] or socket.gethostname()},
        ovs=OvsConfig(**values["ovs"]),
        agent=AgentConfig(**values["agent"]),
        topology=TopologyConfig(**values["topology"]),
        api=ApiConfig(**values["api"]),
        metrics=MetricsConfig(**values["metrics"]),
        network=NetworkConfig(**values["network"]),
        notifications=NotificationsConfig(**values["notifications"]),
        quotas=QuotasConfig(**values["quotas"]),
        files=tuple(files),
    )
    _check_names(config, reader)
    _check_tls(config, reader)
    _check_allocation(config, reader)
    if problem := config.api.problem():
        reader.refuse("api", *problem)
    if config.agent.agent_down_time < 2 * config.agent.report_interval:
        reader.refuse(
            "agent",
            "agent_down_time",
            f"{config.agent.agent_down_time:g}",
            f"expected at least twice report_interval, which is {config.agent.report_interval:g}",
        )
    return config


class _Reader:
    """One private ``ConfigOpts`` that knows the file of every value."""

    def __init__(self, files: Sequence[str]) -> None:
        for path in files:
            _check_readable(path)
        self._conf = cfg.ConfigOpts()
        for group, opts in list_opts():
            self._conf.register_opts(opts, group=None if group == "DEFAULT" else group)
        try:
            self._conf(
                args=[],
                project="tunbridge",
                default_config_files=[os.path.abspath(path) for path in files],
                default_config_dirs=[],
                use_env=False,
            )
        except cfg.ConfigFileParseError as error:
            where = f"at {error.config_file}:"  # the file is said once
            raise ConfigError(f"{error.config_file}: {str(error.msg).replace(where, 'line ', 1)}") from None

    def read(self, group: str, name: str) -> Any:
        """The value of an option, checked."""
        values = self._conf if group == "DEFAULT" else self._conf[group]
        try:
            value = values[name]
        except (cfg.Error, RecursionError):
            raise ConfigError(
                f"[{group}] {name}: its value refers to an option that does not exist, or to itself; "
                "write $$ for a dollar sign"
            ) from None
        if isinstance(value, kinds.Invalid):
            self.refuse(group, name, value.value, value.expected)
        return value

    def refuse(self, group: str, name: str, value: str, expected: str) -> NoReturn:
        """Say that an option's value cannot be used, and where it was set."""
        location = self._conf.get_location(name, None if group == "DEFAULT" else group)
        where = f"{location.detail}: " if location and location.location is cfg.Locations.user else ""
        shown = value if len(value) <= _SHOWN_VALUE_MAX else value[:_SHOWN_VALUE_MAX] + "…"
        raise ConfigError(f"{where}[{group}] {name} = {shown!r}: {expected}")


def _check_readable(path: str) -> None:
    """oslo.config passes over some unreadable files and raises bare errors for others."""
    try:
        with open(path, encoding="utf-8") as file:
            file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: byte {error.start} is not UTF-8") from None


def _check_names(config: Config, reader: _Reader) -> None:
    """Bridges and ports share one name space: Open vSwitch makes a port of its own name for each bridge."""
    owners: dict[str, str] = {}
    for name in ("integration_bridge", "tunnel_bridge", "int_peer_patch_port", "tun_peer_patch_port"):
        value = getattr(config.ovs, name)
        if value in owners:
            reader.refuse("ovs", name, value, f"expected another name than that of {owners[value]}")
        owners[value] = name
    for network, bridge in config.ovs.bridge_mappings.items():
        if bridge in owners:
            reader.refuse("ovs", "bridge_mappings", f"{network}:{bridge}", f"expected a bridge, not {owners[bridge]}")


def _check_tls(config: Config, reader: _Reader) -> None:
    ovs, topology = config.ovs, config.topology
    uses = [("connection", topology.connection), *(("listen", method) for method in topology.listen)]
    of_uses = [("of_listen_method", ovs.of_listen_method), ("ovsdb_connection", ovs.ovsdb_connection)]
    if problem := ovs.incomplete(of_uses):
        reader.refuse("ovs", *problem)
    if problem := topology.incomplete(uses):
        reader.refuse("topology", *problem)


def _check_allocation(config: Config, reader: _Reader) -> None:
    """Networks of the default type must have ids that can be allocated, and that their encapsulation can carry."""
    network = config.network
    kind = NetworkType(network.tenant_network_type)
    if kind.is_tunnel:
        limits = kind.segmentation_range
        assert limits is not None
        if not network.tunnel_id_ranges:
            reader.refuse("network", "tunnel_id_ranges", "", f"expected MIN:MAX, since networks are {kind.value}")
        for low, high in network.tunnel_id_ranges:
            if high > limits[1]:
                reader.refuse(
                    "network", "tunnel_id_ranges", f"{low}:{high}", f"expected ids up to {limits[1]} for {kind.value}"
                )
    if kind is NetworkType.VLAN and not any(network.network_vlan_ranges.values()):
        reader.refuse(
            "network",
            "tenant_network_type",
            kind.value,
            "expected a range in network_vlan_ranges to allocate from, such as physnet1:100:199",
        )
