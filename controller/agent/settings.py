"""What a controller is made of, as its configuration says: the same for one that serves and for a dry run."""

from __future__ import annotations

from controller.agent.tunnels.tunnel_plan import TunnelOptions
from controller.config.config import Config
from controller.config.host_options import FLOW_BASED
from controller.runtime.version import installed_version
from controller.vswitch.bridge_setup import BridgeLayout
from controller.vswitch.controller_targets import targets
from controller.vswitch.local_ovsdb import VSwitch
from controller.vswitch.names import Names, physical_names
from controller.vswitch.tunnel_rows import TunnelRows
from topology.model import Host


def names(config: Config) -> Names:
    """Names of this host's parts."""
    ovs = config.ovs
    return Names(
        config.host,
        ovs.integration_bridge,
        ovs.tunnel_bridge,
        ovs.int_peer_patch_port,
        ovs.tun_peer_patch_port,
        physical_names(ovs.bridge_mappings),
    )


def tunnel_options(config: Config) -> TunnelOptions:
    """How this host makes tunnels."""
    return TunnelOptions(
        config.ovs.local_ip,
        config.agent.tunnel_types,
        config.agent.vxlan_udp_port,
        config.agent.dont_fragment,
        config.agent.tunnel_csum,
        config.ovs.local_ip is not None and config.agent.tunnel_mode == FLOW_BASED,
    )


def vswitch(config: Config) -> VSwitch:
    """The local OVSDB.

    :raises ConfigError: certificates cannot be used
    """
    ovs, parts = config.ovs, names(config)
    controllers = {bridge: targets(ovs, bridge) for bridge in parts.bridges}
    layout = BridgeLayout(parts, controllers, ovs.datapath_type, ovs.bridge_mac_table_size)
    return VSwitch(ovs.ovsdb_connection, layout, ovs.tls)


def tunnel_rows(config: Config) -> TunnelRows | None:
    """What it says of tunnels, None for a host without.

    :raises ConfigError: certificates cannot be used
    """
    ovs = config.ovs
    return TunnelRows(ovs.ovsdb_connection, ovs.tls) if ovs.local_ip is not None else None


def this_host(config: Config, instance: str) -> Host:
    """This host, as other hosts shall see it.

    :param instance: of which installation it is
    """
    return Host(
        config.host,
        tunnel_ips=(config.ovs.local_ip,) if config.ovs.local_ip is not None else (),
        tunnel_types=config.agent.tunnel_types if config.ovs.local_ip is not None else (),
        bridge_mappings=tuple(sorted(config.ovs.bridge_mappings.items())),
        instance=instance,
        version=installed_version() or "",
        datapath_type=config.ovs.datapath_type,
        integration_bridge=config.ovs.integration_bridge,
        vxlan_udp_port=config.agent.vxlan_udp_port if config.ovs.local_ip is not None else None,
    )
