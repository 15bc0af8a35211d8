"""What a controller is made of, as its configuration says: the same for one that serves and for a dry run."""

from __future__ import annotations

import re

from apps.l2_population import L2_POPULATION
from controller.agent.tunnels.tunnel_plan import TunnelOptions
from controller.config.config import Config
from controller.config.host_options import FLOW_BASED, IPSEC
from controller.runtime.private_file import read_private
from controller.runtime.version import installed_version
from controller.vswitch.bridge_setup import BridgeLayout
from controller.vswitch.controller_targets import targets
from controller.vswitch.ipsec import IpsecKeys
from controller.vswitch.local_ovsdb import VSwitch
from controller.vswitch.names import Names, physical_names
from controller.vswitch.tunnel_rows import TunnelRows
from topology.errors import ConfigError
from topology.model import Host

_PSK = re.compile(r"[!#-~]{16,255}")


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


def ipsec_keys(config: Config) -> IpsecKeys | None:
    """How tunnels are encrypted, None where they are not.

    :raises ConfigError: the secret cannot be used
    """
    agent = config.agent
    if agent.tunnel_encryption != IPSEC or config.ovs.local_ip is None:
        return None
    if agent.ipsec_psk_file is None:
        return IpsecKeys(None, agent.ipsec_certificate or "", agent.ipsec_private_key or "", agent.ipsec_ca_cert or "")
    try:
        psk = read_private(agent.ipsec_psk_file)[1].decode("ascii").removesuffix("\n")
        if not _PSK.fullmatch(psk):
            raise ConfigError("it is no line of 16 to 255 letters, digits and marks without quotation marks and spaces")
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        why = "it is not ASCII" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        raise ConfigError(f"[agent] ipsec_psk_file: cannot use {agent.ipsec_psk_file}: {why}") from None
    return IpsecKeys(psk)


def tunnel_options(config: Config) -> TunnelOptions:
    """How this host makes tunnels.

    :raises ConfigError: the secret of their encryption cannot be used
    """
    return TunnelOptions(
        config.ovs.local_ip,
        config.agent.tunnel_types,
        config.agent.vxlan_udp_port,
        config.agent.dont_fragment,
        config.agent.tunnel_csum,
        config.ovs.local_ip is not None and config.agent.tunnel_mode == FLOW_BASED,
        bool(config.applications[L2_POPULATION.key]),
        ipsec_keys(config),
    )


def vswitch(config: Config) -> VSwitch:
    """The local OVSDB.

    :raises ConfigError: certificates cannot be used
    """
    ovs, parts = config.ovs, names(config)
    controllers = {bridge: targets(ovs, bridge) for bridge in parts.bridges}
    layout = BridgeLayout(parts, controllers, ovs.datapath_type, ovs.bridge_mac_table_size, ipsec_keys(config))
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
