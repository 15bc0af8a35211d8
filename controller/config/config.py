"""The configuration: all options of one load, checked and frozen.

Groups and names are those of ``openvswitch_agent.ini``, so that the file of neutron-openvswitch-agent can be read as
it is; options that are not known here are left alone. No option changes after :func:`load`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from immutables import Map

from apps import APPLICATIONS
from apps.framework.app import App
from apps.framework.options import AppOption, OptionValue
from controller.config import option_types as kinds
from controller.config.api_options import ApiConfig, MetricsConfig, NotificationsConfig, QuotasConfig
from controller.config.declaration import Declaration, groups_of, option, options_of
from controller.config.host_options import AgentConfig, OvsConfig
from controller.config.option_reader import DEFAULT, OptionReader
from controller.config.otel_options import OtelConfig
from controller.config.package_apps import PackageApps, with_packages
from controller.config.run_path import DEFAULT_RUN_PATH, control_socket
from controller.config.security_group_options import SecurityGroupConfig
from controller.config.text_types import absolute_path, socket_directory
from controller.config.topology_options import NetworkConfig, TopologyConfig
from topology.errors import ConfigError
from topology.model import NetworkType
from topology.rules.allocation.segment_allocation import AllocationPolicy


def _default_choices() -> Map[str, OptionValue]:
    return Map({option.key: option.default for option in _options_of(APPLICATIONS)})


@dataclass(frozen=True)
class Config:
    """Group ``[DEFAULT]``, all other groups, and what follows from them.

    :param files: that they were read from, for what has options of its own there
    :param applications: ``group.name`` → value of each option that an application declares
    :param apps: the applications that make flows
    """

    host: str = option(
        None,
        kinds.host_name,
        "Name of this host in the topology, as `binding:host_id` names it. Unset: the machine's host name. 1 to 255 "
        "characters without white space",
        unset=socket.gethostname,
        form="host name",
    )
    debug: bool = option("false", kinds.boolean, "Log at level DEBUG, libraries included")
    log_file: str | None = option(
        None,
        kinds.optional(absolute_path),
        "Log to this file (absolute path) instead of stderr. It may be moved away by logrotate; the next record opens "
        "it again",
        form="path",
    )
    log_json: bool = option(
        "false",
        kinds.boolean,
        "Write the log as lines of JSON, for who ships logs: [events](events.md#in-the-log)",
    )
    state_path: str = option(
        "/var/lib/tunbridge",
        absolute_path,
        "Directory of what outlives a restart: the embedded topology database, and what this host knows of a topology "
        "that may be restored (absolute path)",
    )
    run_path: str = option(
        DEFAULT_RUN_PATH,
        socket_directory,
        "Directory of `control.sock`, `topology.sock` and pid files (absolute path of at most 93 bytes). One for each "
        "controller on a machine",
    )
    os_ken_apps: tuple[str, ...] = option(
        "",
        kinds.modules,
        "Python modules of [os-ken applications](extending.md#os-ken-applications) that run beside ours, "
        "comma-separated; at most 64",
    )
    pipeline_apps: tuple[str, ...] = option(
        "",
        kinds.entry_points,
        "Applications of other packages that [make flows here](extending.md#applications-of-the-pipeline), by the "
        "names of their entry points, comma-separated. An installed package alone changes nothing",
    )
    ovs: OvsConfig = field(default_factory=OvsConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    securitygroup: SecurityGroupConfig = field(default_factory=SecurityGroupConfig)
    topology: TopologyConfig = field(default_factory=TopologyConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    otel: OtelConfig = field(default_factory=OtelConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    notifications: NotificationsConfig = field(default_factory=NotificationsConfig)
    quotas: QuotasConfig = field(default_factory=QuotasConfig)
    files: tuple[str, ...] = ()
    applications: Map[str, OptionValue] = field(default_factory=_default_choices)
    apps: PackageApps = field(default_factory=lambda: PackageApps(APPLICATIONS))

    @property
    def topology_connection(self) -> str:
        """Where the topology database answers: ``[topology] connection``, or else the embedded one's socket."""
        return self.topology.connection or f"unix:{os.path.join(self.run_path, 'topology.sock')}"

    def allocation_policy(self) -> AllocationPolicy:
        """Group ``[network]``, as who applies documents takes it."""
        return AllocationPolicy(
            NetworkType(self.network.tenant_network_type),
            self.network.tunnel_id_ranges,
            self.network.network_vlan_ranges,
            self.network.base_mac,
            self.network.global_physnet_mtu,
            self.network.physical_network_mtus,
            self.securitygroup.enable_security_group is True,
        )

    @property
    def control_socket(self) -> str:
        """Where the controller of this host answers the command line."""
        return control_socket(self.run_path)


def declared_options(applications: Sequence[App] = APPLICATIONS) -> Mapping[str, Mapping[str, Declaration]]:
    """All options there are, those of applications too: group → name → option.

    :raises ValueError: an application declares one that is there already
    """
    declared = {DEFAULT: options_of(Config), **{name: options_of(of) for name, of in groups_of(Config).items()}}
    for one in _options_of(applications):
        group = declared.get(one.group, {})
        if one.name in group:
            raise ValueError(f"an application declares [{one.group}] {one.name}, which is there already")
        declared[one.group] = {**group, one.name: _declaration(one)}
    return declared


def _options_of(applications: Iterable[App]) -> Iterator[AppOption]:
    """What applications declare: plain data, since they know nothing of a configuration."""
    return (option for application in applications for option in application.options)


def _declaration(option: AppOption) -> Declaration:
    value = option.default
    default = str(value).lower() if isinstance(value, bool) else str(value)
    return Declaration(default, option.parse or _PARSERS[option.kind], option.help.rstrip("."))


_PARSERS: Mapping[str, Callable[[str], OptionValue]] = {
    "boolean": kinds.boolean,
    "integer": kinds.whole(-(10**18) + 1, 10**18 - 1, "a whole number"),
    "string": str,
}


def about(group: str) -> str:
    """What there is to say of a group, as Markdown; may be empty."""
    if known := groups_of(Config).get(group):
        return known.about
    return "" if group == DEFAULT else "Of [applications](pipeline.md)."


def load(
    files: Sequence[str], topology_override: str | None = None, applications: Sequence[App] = APPLICATIONS
) -> Config:
    """Read configuration files; of an option that is set more than once, the last value holds.

    :param files: paths, in the order in which they are read
    :param topology_override: OVSDB connection methods that replace ``[topology] connection``
    :param applications: those whose options are read too
    :raises ConfigError: a file cannot be read, or a value cannot be used; the text names file, option and value
    """
    declared = declared_options(applications)
    reader = OptionReader(files, declared)
    own = reader.values(DEFAULT, options_of(Config))
    apps = PackageApps(tuple(applications))
    if own["pipeline_apps"]:
        apps = with_packages(applications, own["pipeline_apps"], declared_options)
        declared = declared_options(apps.apps)
        reader = OptionReader(files, declared)
    values = {name: reader.values(name, options_of(of)) for name, of in groups_of(Config).items()}
    if topology_override is not None:
        values["topology"]["connection"] = _connection(topology_override)
    groups: dict[str, Any] = {name: of(**values[name]) for name, of in groups_of(Config).items()}
    for name, group in groups.items():
        if problem := group.problem():
            reader.refuse(name, problem)
    chosen = Map(
        {one.key: reader.value(one.group, one.name, declared[one.group][one.name]) for one in _options_of(apps.apps)}
    )
    return Config(**own, **groups, files=tuple(files), applications=chosen, apps=apps)


def _connection(override: str) -> str:
    try:
        connection = kinds.connection(override)
    except ValueError as error:
        raise ConfigError(f"--topology {override!r}: {error}") from None
    if connection is None:
        raise ConfigError("--topology '': expected unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT")
    return connection
