"""Groups ``[ovs]`` and ``[agent]`` of the configuration: this host's Open vSwitch, and how the host behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, Problem, option
from controller.config.text_types import absolute_path
from controller.config.tls_options import FILES, NAME, PEER_NAME, TlsConfig, incomplete
from topology.ovsdb.tls import ANY, TlsFiles

PORT_PER_PEER, FLOW_BASED = "port-per-peer", "flow-based"
"""Values of ``[agent] tunnel_mode``."""

NO_ENCRYPTION, IPSEC = "none", "ipsec"
"""Values of ``[agent] tunnel_encryption``."""


@dataclass(frozen=True)
class OvsConfig(TlsConfig):
    """Group ``[ovs]``. Times are in seconds."""

    about: ClassVar[str] = "Names of bridges and patch ports have 1 to 15 characters, and all differ."

    ovsdb_connection: str = option(
        "unix:/var/run/openvswitch/db.sock",
        kinds.connection_method,
        "OVSDB of this host's Open vSwitch: `unix:/PATH`, `tcp:ADDRESS:PORT` or `ssl:ADDRESS:PORT`. An address is an "
        "IP address, IPv6 in brackets; names are not resolved",
    )
    integration_bridge: str = option(
        "br-int", kinds.interface_name, "Bridge that devices are plugged into; made when it is missing"
    )
    tunnel_bridge: str = option(
        "br-tun", kinds.interface_name, "Bridge of the tunnels to other hosts; made when it is missing"
    )
    int_peer_patch_port: str = option(
        "patch-tun", kinds.interface_name, "The integration bridge's end of the patch to the tunnel bridge"
    )
    tun_peer_patch_port: str = option("patch-int", kinds.interface_name, "The tunnel bridge's end of that patch")
    local_ip: str | None = option(
        None,
        kinds.optional(kinds.tunnel_endpoint),
        "This host's own end of tunnels, IPv4 or IPv6. Unset: no tunnels are made, and the tunnel bridge is still set "
        "up",
        form="IP address",
    )
    bridge_mappings: Mapping[str, str] = option(
        "", kinds.bridge_mappings, "`PHYSICAL_NETWORK:BRIDGE` pairs, each network and each bridge once"
    )
    datapath_type: str = option(
        "system",
        kinds.one_of("system", "netdev"),
        "Datapath of bridges that are made: `system` (kernel) or `netdev` (userspace)",
    )
    bridge_mac_table_size: int = option(
        "50000",
        kinds.whole(10, 1_000_000, "a number of addresses from 10 to 1000000"),
        "Addresses that the integration bridge and the tunnel bridge each learn at most (10 to 1000000), of all "
        "networks together; frames to others are flooded",
    )
    of_listen_method: str = option(
        "tcp",
        kinds.one_of("tcp", "ssl", "unix"),
        "How bridges connect: `tcp`, `ssl` (TLS, both sides show certificates) or `unix` (a socket for each bridge, "
        "`BRIDGE.tunbridge` beside that of `ovsdb_connection`, else in /var/run/openvswitch). "
        "[Security](security.md) has the difference",
    )
    of_listen_address: str = option(
        "127.0.0.1",
        kinds.ip_address,
        "IP address at which OpenFlow connections of the bridges arrive, for `tcp` and `ssl`. OpenFlow over `tcp` has "
        "no authentication: keep it local",
    )
    of_listen_port: int = option("6653", kinds.port_number, "TCP port of these connections")
    of_connect_timeout: float = option(
        "5",
        kinds.seconds(0.1, 3600),
        "Seconds that a bridge has for the OpenFlow handshake before its connection is closed (0.1 to 3600)",
    )
    of_request_timeout: float = option(
        "10", kinds.seconds(0.1, 3600), "Seconds to wait for the switch's reply to a request (0.1 to 3600)"
    )
    ssl_peer_name: str | None = option(
        ANY, PEER_NAME, f"{NAME}. `*`: any, as for Open vSwitch itself. Empty: its IP address"
    )

    @property
    def tls(self) -> TlsFiles | None:
        """For OpenFlow and the local OVSDB; None: no TLS."""
        return self.tls_files("[ovs]")

    def problem(self) -> Problem | None:
        """Bridges and ports share one name space: Open vSwitch makes a port of its own name for each bridge."""
        owners: dict[str, str] = {}
        for name in ("integration_bridge", "tunnel_bridge", "int_peer_patch_port", "tun_peer_patch_port"):
            value = getattr(self, name)
            if value in owners:
                return Problem(name, value, f"expected another name than that of {owners[value]}")
            owners[value] = name
        for network, bridge in self.bridge_mappings.items():
            if bridge in owners:
                return Problem("bridge_mappings", f"{network}:{bridge}", f"expected a bridge, not {owners[bridge]}")
        asking = [("of_listen_method", self.of_listen_method), ("ovsdb_connection", self.ovsdb_connection)]
        return incomplete(self, FILES, asking)


@dataclass(frozen=True)
class AgentConfig(OptionGroup):
    """Group ``[agent]``. Times are in seconds."""

    tunnel_types: tuple[str, ...] = option(
        "gre",
        kinds.tunnel_types,
        "Encapsulations of this host, preferred first: `gre`, `vxlan`, `geneve`. Empty: no tunnels",
    )
    tunnel_mode: str = option(
        PORT_PER_PEER,
        kinds.one_of(PORT_PER_PEER, FLOW_BASED),
        "`port-per-peer`: a tunnel port for each encapsulation and each other host "
        "[that shares a network](tunnels.md#known-destinations), or each at all without `l2_population`. `flow-based`: "
        "one for each encapsulation, and [flows say](tunnels.md#flow-based-tunnels) which host a frame goes to. Hosts "
        "of one fabric may differ",
    )
    tunnel_encryption: str = option(
        NO_ENCRYPTION,
        kinds.one_of(NO_ENCRYPTION, IPSEC),
        "`ipsec`: write to tunnel ports what Open vSwitch's ovs-monitor-ipsec needs to have them "
        "[encrypted](security.md#encrypted-tunnels), with `ipsec_psk_file` or the three options after it; for "
        "`port-per-peer`",
    )
    ipsec_psk_file: str | None = option(
        None,
        kinds.optional(absolute_path),
        "File with the secret that all hosts share, in one line of 16 to 255 letters, digits and marks without "
        "quotation marks and spaces; closed to everybody but its owner and group",
        form="path",
    )
    ipsec_certificate: str | None = option(
        None,
        kinds.optional(absolute_path),
        "This host's certificate (PEM), whose common name is `[DEFAULT] host`",
        form="path",
    )
    ipsec_private_key: str | None = option(
        None, kinds.optional(absolute_path), "Its key (PEM), which ovs-monitor-ipsec reads", form="path"
    )
    ipsec_ca_cert: str | None = option(
        None, kinds.optional(absolute_path), "The authority that certifies all hosts (PEM)", form="path"
    )
    vxlan_udp_port: int = option("4789", kinds.port_number, "UDP port of VXLAN tunnels")
    dont_fragment: bool = option("true", kinds.boolean, "Set the don't-fragment bit on tunnel packets")
    tunnel_csum: bool = option("false", kinds.boolean, "Set the checksum of tunnel headers")
    report_interval: float = option(
        "30", kinds.seconds(0.1, 86400), "Seconds between reports that this host lives (0.1 to 86400)"
    )
    agent_down_time: float = option(
        "75",
        kinds.seconds(0.2, 604800),
        "Seconds of silence after which a host is taken to be down; at least twice `report_interval`",
    )
    audit_interval: float = option(
        "60",
        kinds.seconds(1, 86400, or_never=True),
        "Seconds between two comparisons of all flows of a bridge with what they should be (1 to 86400), beside those "
        "that the switch's [notifications](reliability.md#drift) cause; 0: never",
    )

    def problem(self) -> Problem | None:
        """A host must not be taken for down because one report was late, and tunnels not for encrypted."""
        if (found := self._ipsec_problem()) is not None:
            return found
        if self.agent_down_time >= 2 * self.report_interval:
            return None
        expected = f"expected at least twice report_interval, which is {self.report_interval:g}"
        return Problem("agent_down_time", f"{self.agent_down_time:g}", expected)

    def _ipsec_problem(self) -> Problem | None:
        if self.tunnel_encryption != IPSEC:
            return None
        if self.tunnel_mode == FLOW_BASED:
            expected = (
                f"expected {PORT_PER_PEER} with tunnel_encryption = ipsec: ovs-monitor-ipsec needs a port per peer"
            )
            return Problem("tunnel_mode", self.tunnel_mode, expected)
        files = (self.ipsec_certificate, self.ipsec_private_key, self.ipsec_ca_cert)
        if (self.ipsec_psk_file is not None and not any(files)) or (self.ipsec_psk_file is None and all(files)):
            return None
        expected = "expected ipsec_psk_file, or ipsec_certificate, ipsec_private_key and ipsec_ca_cert, and not both"
        return Problem("tunnel_encryption", self.tunnel_encryption, expected)
