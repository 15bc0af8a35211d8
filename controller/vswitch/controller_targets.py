"""Where this host's bridges find their controller, by configuration."""

from __future__ import annotations

from collections.abc import Iterable

from controller.config.host_options import OvsConfig
from controller.openflow.channel.endpoint import Endpoint, TcpEndpoint, UnixEndpoint, tcp_target, unix_target
from controller.vswitch.adoption import rundir
from topology.ovsdb.tls import Contexts

_RUN_DIRECTORY = "/var/run/openvswitch"
"""Of ovs-vswitchd, where the connection to its database does not show it."""


def endpoints(ovs: OvsConfig, bridges: Iterable[str]) -> list[Endpoint]:
    """What to listen at.

    :raises ConfigError: certificates cannot be used
    """
    if ovs.of_listen_method == "unix":
        directory = str(rundir(ovs.ovsdb_connection) or _RUN_DIRECTORY)
        return [UnixEndpoint(directory, bridge) for bridge in bridges]
    tls = None
    if ovs.of_listen_method == "ssl":
        assert ovs.tls is not None, "config.load() has asked for the files"
        tls = Contexts(ovs.tls, server_side=True)
    return [TcpEndpoint(ovs.of_listen_address, ovs.of_listen_port, tls)]


def targets(ovs: OvsConfig, bridge: str) -> tuple[str, ...]:
    """What a bridge is to connect to; then what it would be with another ``[ovs] of_listen_method``."""
    known = {method: tcp_target(method, ovs.of_listen_address, ovs.of_listen_port) for method in ("tcp", "ssl")}
    known["unix"] = unix_target(bridge)
    current = known.pop(ovs.of_listen_method)
    return (current, *known.values())
