"""Which ports of this host are filtered, and by what: as the topology asks for it and the host's options allow."""

from __future__ import annotations

import ipaddress

from immutables import Map

from apps.framework.host_view import PortSecurity
from topology.model import Port


def port_security(port: Port) -> PortSecurity | None:
    """What a port asks for; None: to be switched, whatever it sends."""
    if not port.port_security_enabled:
        return None
    own = ((str(ipaddress.ip_network(fixed.ip_address)), port.mac_address) for fixed in port.fixed_ips)
    return PortSecurity(tuple(sorted({*own, *port.allowed_prefixes})), port.security_group_ids)


class PortFilters:
    """Whether bound ports get what they ask for.

    :param unenforced: the option that has nothing filtered on this host, e.g. ``[securitygroup] firewall_driver =
        noop``; None: what asks for it is filtered
    """

    def __init__(self, unenforced: str | None = None) -> None:
        self._unenforced = unenforced
        self.unfiltered: Map[str, str] = Map()
        """Id of a bound port that asks for port security and has none here → why."""

    def of(self, port_id: str, asked: PortSecurity | None) -> PortSecurity | None:
        """How a port that is bound here is filtered; None: not at all.

        :param asked: as of :func:`port_security`
        """
        if asked is not None and self._unenforced is not None:
            self.unfiltered = self.unfiltered.set(port_id, self._unenforced)
            return None
        return asked

    def forget(self, port_id: str) -> None:
        """A port is not bound here any more, or otherwise."""
        if port_id in self.unfiltered:
            self.unfiltered = self.unfiltered.delete(port_id)
