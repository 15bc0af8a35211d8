"""Groups ``[topology]`` and ``[network]``: where the topology database is, and what is allocated in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, Problem, option
from controller.config.tls_options import FILES, NAME, PEER_NAME, TlsConfig, incomplete
from topology.model import NetworkType
from topology.ovsdb.tls import TlsFiles
from topology.rules.allocation.segment_allocation import Range


@dataclass(frozen=True)
class TopologyConfig(TlsConfig):
    """Group ``[topology]``: connections are OVSDB connection methods (ovsdb(7))."""

    connection: str | None = option(
        None,
        kinds.connection,
        "The topology database: `unix:/PATH`, `tcp:ADDRESS:PORT` or `ssl:ADDRESS:PORT`; several, comma-separated, are "
        "the members of one cluster. ADDRESS may be a host name here, which stands for all addresses that it has. "
        "Unset: `tunbridge run` serves one of its own, at `topology.sock` in `run_path`. "
        "`--topology` overrides it",
        form="connections",
    )
    listen: tuple[str, ...] = option(
        "",
        kinds.listen,
        "Where the embedded topology database serves other hosts too: `tcp:ADDRESS:PORT` or `ssl:ADDRESS:PORT`, "
        "comma-separated. Its unix socket is always there",
    )
    cluster_address: str | None = option(
        None,
        kinds.optional(kinds.cluster_address),
        "Where the other members of a cluster of topology databases reach the one of this host: `tcp:ADDRESS:PORT` or "
        "`ssl:ADDRESS:PORT`, another port than that of `listen`. Read by `tunbridge topology create-cluster` and "
        "`tunbridge topology join-cluster` alone, which write it into the database file",
        form="connection",
    )
    host_rights: bool = option(
        "false",
        kinds.boolean,
        "Who comes by `listen` is the host that the common name of its certificate names, and may write [what is that "
        "host's](security.md#rights-by-host), and nothing else. `listen` is `ssl:` then; by the unix socket all may be "
        "written",
    )
    follow: str | None = option(
        None,
        kinds.optional(kinds.one_of("host", "all")),
        "What a controller follows of the topology: what concerns its `host`, or `all`; "
        "[which is better](performance.md#what-a-host-follows). Unset: `host` where `connection` is set, and `all` of "
        "a database of its own",
        form="host or all",
    )
    ssl_peer_name: str | None = option(
        None,
        PEER_NAME,
        f"{NAME}. Unset: its IP address or host name, as `connection` has it. `*`: any. The embedded server "
        "(`listen`) trusts all certificates of the authorities",
        form="name",
    )

    @property
    def is_partial(self) -> bool:
        """Whether a controller follows what concerns its host and no more."""
        return self.follow == "host" or (self.follow is None and self.connection is not None)

    @property
    def tls(self) -> TlsFiles | None:
        """For both ends of a connection to the topology database; None: no TLS."""
        return self.tls_files("[topology]")

    def problem(self) -> Problem | None:
        """Who asks for TLS needs its files, and only TLS says who comes."""
        if self.cluster_address is not None and self.cluster_address in self.listen:
            return Problem("cluster_address", self.cluster_address, "expected another port than that of listen")
        if self.host_rights and not all(method.startswith("ssl:") for method in self.listen or ("",)):
            return Problem(
                "host_rights", "true", "expected listen = ssl:ADDRESS:PORT too: only TLS says which host it is"
            )
        uses = [("connection", self.connection), ("cluster_address", self.cluster_address)]
        return incomplete(self, FILES, [*uses, *(("listen", one) for one in self.listen)])


@dataclass(frozen=True)
class NetworkConfig(OptionGroup):
    """Group ``[network]``."""

    about: ClassVar[str] = (
        "What `tunbridge apply` and the API allocate to networks and ports that leave it open. Set it alike wherever "
        "they run."
    )

    tenant_network_type: str = option(
        "gre",
        kinds.one_of(*(kind.value for kind in NetworkType if kind is not NetworkType.FLAT)),
        "Type of networks that name none: `gre`, `vxlan`, `geneve`, `vlan` or `local`",
    )
    tunnel_id_ranges: tuple[Range, ...] = option(
        "1:16777215",
        kinds.tunnel_id_ranges,
        "`MIN:MAX` ranges of tunnel ids. GRE carries ids up to 4294967295, VXLAN and Geneve up to 16777215",
    )
    network_vlan_ranges: Mapping[str, tuple[Range, ...]] = option(
        "",
        kinds.network_vlan_ranges,
        "`PHYSICAL_NETWORK:MIN:MAX` ranges of VLAN ids from 1 to 4094; `PHYSICAL_NETWORK` alone allows no allocation "
        "there. `tenant_network_type = vlan` needs a range",
    )
    base_mac: str = option(
        "fa:16:3e:00:00:00",
        kinds.base_mac,
        "MAC addresses that are made begin with its first three octets, or four when the fourth is not 00",
    )
    global_physnet_mtu: int = option(
        "1500",
        kinds.mtu,
        "The largest IP packet that the underlay of tunnels and all physical networks carry: no network's `mtu` is "
        "above what its type leaves of it, and those that name none have that",
    )
    physical_network_mtus: Mapping[str, int] = option(
        "", kinds.physical_network_mtus, "`PHYSICAL_NETWORK:BYTES` of those that carry less"
    )

    def problem(self) -> Problem | None:
        """Networks of the default type must have ids that can be allocated, and that their encapsulation can carry."""
        kind = NetworkType(self.tenant_network_type)
        if kind.is_tunnel:
            limits = kind.segmentation_range
            assert limits is not None
            if not self.tunnel_id_ranges:
                return Problem("tunnel_id_ranges", "", f"expected MIN:MAX, since networks are {kind.value}")
            for low, high in self.tunnel_id_ranges:
                if high > limits[1]:
                    expected = f"expected ids up to {limits[1]} for {kind.value}"
                    return Problem("tunnel_id_ranges", f"{low}:{high}", expected)
        if kind is NetworkType.VLAN and not any(self.network_vlan_ranges.values()):
            expected = "expected a range in network_vlan_ranges to allocate from, such as physnet1:100:199"
            return Problem("tenant_network_type", kind.value, expected)
        return None
