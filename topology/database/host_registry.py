"""The registry of hosts: how a host enters it, shows that it lives, and leaves it; each in one transaction.

A name belongs to the installation that registered it first, and so does a tunnel address: of two hosts with one name
each would undo what the other writes, and of two with one address each would get the other's frames. The indexes of
the schema refuse the second even when both come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from topology.database import revision
from topology.database.tables import HOST_STATE
from topology.liveness import HostInfo
from topology.model import Host, PortStatus
from topology.ovsdb.edit import Edit


@dataclass(frozen=True)
class Claim:
    """Another installation's hold on what a host wants to register.

    :param holder: name of the host that has it
    :param address: the tunnel address that is taken; None when it is the name
    :param addresses: tunnel addresses of the holder
    """

    holder: str
    address: str | None
    addresses: tuple[str, ...]

    def refusal(self, info: HostInfo | None, now: float) -> str:
        """What is wrong and what to do.

        :param info: of the holder, as far as it could be found out
        :param now: seconds since the epoch
        """
        seen = f"last seen {info.seen(now)}" if info is not None else "when it was last seen is not known"
        gone = f"if that one is gone for good, `tunbridge host delete {self.holder}`"
        if self.address is not None:
            return (
                f"tunnel address {self.address} is taken by host {self.holder} ({seen}): "
                f"give this host an address of its own ([ovs] local_ip), or, {gone}"
            )
        where = f"tunnel address {', '.join(self.addresses)}, " if self.addresses else ""
        return (
            f"host name {self.holder} is taken by another installation ({where}{seen}): "
            f"give this host another name ([DEFAULT] host), or, {gone}"
        )


def enter(edit: Edit, host: Host, now: float) -> bool | Claim:
    """Write the row of a host, as far as it differs.

    A row that no installation claims, because an operator wrote it, becomes this one's.

    :param now: seconds since the epoch; a new host was seen then
    :returns: whether anything was written; a :class:`Claim` when another installation is in the way, and then nothing
        was
    """
    row = _row(edit, host.name)
    if row is not None and row.instance not in ("", host.instance):
        return Claim(host.name, None, tuple(sorted(_addresses(row))))
    for other in edit.rows("Host").values():
        taken = sorted(_addresses(other).keys() & set(host.tunnel_ips)) if other is not row else []
        if taken:
            return Claim(other.name, taken[0], tuple(sorted(_addresses(other))))
    known = _addresses(row) if row is not None else {}
    columns: dict[str, Any] = {
        "tunnel_endpoints": [known.get(ip) or edit.insert("TunnelEndpoint", ip_address=ip) for ip in host.tunnel_ips],
        "tunnel_types": list(host.tunnel_types),
        "bridge_mappings": dict(host.bridge_mappings),
        "instance": host.instance,
        "version": host.version,
    }
    if row is None:
        revision.begin(edit)
        edit.insert("Host", name=host.name, **columns)
        _write_state(edit, host.name, now)
        return True
    changed = edit.set(row, **columns)
    if changed:
        edit.verify(row, "instance")
    return changed


def put_back(edit: Edit, host: Host) -> str | None:
    """Write the row of another host where there is none: its controller may be stopped, and its tunnels in use.

    :returns: why that cannot be, None when it is there
    """
    if _row(edit, host.name) is not None:
        return None
    for other in edit.rows("Host").values():
        taken = sorted(_addresses(other).keys() & set(host.tunnel_ips))
        if taken:
            return f"tunnel address {taken[0]} is of host {other.name} there: `tunbridge host delete {other.name}`"
    edit.insert(
        "Host",
        name=host.name,
        tunnel_endpoints=[edit.insert("TunnelEndpoint", ip_address=ip) for ip in host.tunnel_ips],
        tunnel_types=list(host.tunnel_types),
        bridge_mappings=dict(host.bridge_mappings),
        instance=host.instance,
        version=host.version,
    )
    return None


def mark_alive(edit: Edit, name: str, now: float) -> None:
    """Note that a host was seen; one that is not registered is passed over.

    :param now: seconds since the epoch
    """
    if _row(edit, name) is not None:
        _write_state(edit, name, now)


def describe(edit: Edit, name: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> bool:
    """Give a host other attributes; it keeps them however often it registers.

    :param change: the attributes that it has → those that it is to have
    :returns: whether there is such a host
    """
    row = _row(edit, name)
    if row is not None:
        edit.set(row, attributes=dict(change(row.attributes)))
    return row is not None


def remove(edit: Edit, name: str) -> bool:
    """Remove a host; ports that it had bound are bound nowhere any more.

    :returns: whether there was anything of it: its row, or a port that it claimed
    """
    row = _row(edit, name)
    if row is not None:
        edit.delete(row)
    claimed = [port for port in edit.rows("Port").values() if port.host == [name]]
    for port in claimed:
        edit.set(port, host=[], status=PortStatus.DOWN.value)
    if row is None and not claimed:
        return False
    edit.delete_where(HOST_STATE, [["name", "==", name]])
    revision.advance(edit)
    # A claim that the host makes at this moment must not outlive it.
    edit.expect("Port", [["host", "==", name]], ["id"], [])
    return True


def _write_state(edit: Edit, name: str, now: float) -> None:
    """Written unread: the row is not followed, and OVSDB has no operation that updates a row or else inserts it."""
    edit.delete_where(HOST_STATE, [["name", "==", name]])
    edit.insert_unfollowed(HOST_STATE, {"name": name, "last_seen": int(now * 1000)})


def _row(edit: Edit, name: str) -> Any | None:
    """The row of a host, also when it breaks a rule of the model."""
    return next((row for row in edit.rows("Host").values() if row.name == name), None)


def _addresses(row: Any) -> dict[str, Any]:
    """Address → row of a host's tunnel endpoints."""
    return {endpoint.ip_address: endpoint for endpoint in row.tunnel_endpoints}
