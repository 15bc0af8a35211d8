"""What Open vSwitch's own ovs-monitor-ipsec reads, which has an IKE daemon encrypt tunnels; and whether it runs.

It follows the local OVSDB: ``options:psk`` or ``options:remote_name`` of tunnel ports, and in ``other_config`` of the
Open_vSwitch row where this host's certificate is (ovs-vswitchd.conf.db(5), "IPsec").
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MONITOR = "ovs-monitor-ipsec"

_TIMEOUT = 1.0  # seconds
_PSK_OPTION = re.compile(r'options:psk=("(?:\\.|[^"\\])*"|\S*)')


@dataclass(frozen=True)
class IpsecKeys:
    """How hosts show who they are: by one secret that all know, or by certificates of one authority.

    :param psk: the secret; None: certificates
    :param certificate: path of this host's own, whose common name is the host's in the topology
    :param private_key: path
    :param ca_cert: path of the authority's
    """

    psk: str | None = field(default=None, repr=False)
    certificate: str = ""
    private_key: str = ""
    ca_cert: str = ""

    def options(self, host: str) -> dict[str, str]:
        """Of the tunnel port to another host.

        :param host: its name
        """
        return {"remote_name": host} if self.psk is None else {"psk": self.psk}

    @property
    def other_config(self) -> Mapping[str, str]:
        """Of the Open_vSwitch row."""
        if self.psk is not None:
            return {}
        return {"certificate": self.certificate, "private_key": self.private_key, "ca_cert": self.ca_cert}


def without_secrets(line: str) -> str:
    """A line about rows, with stars in place of secrets."""
    return _PSK_OPTION.sub("options:psk=***", line)


def monitor_problem(directory: Path) -> str | None:
    """Why nothing is encrypted: the monitor does not run on this machine. None: it runs.

    :param directory: where Open vSwitch has its pid files and sockets
    """
    says = f"[agent] tunnel_encryption = ipsec, and tunnels may not be encrypted: {MONITOR}"
    pid_file = directory / f"{MONITOR}.pid"
    try:
        pid = pid_file.read_text().strip()
    except OSError:
        return f"{says} does not run: there is no {pid_file} (package openvswitch-ipsec)"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT)
        try:
            client.connect(str(directory / f"{MONITOR}.{pid}.ctl"))
        except OSError as error:
            return f"{says} does not answer at {directory / f'{MONITOR}.{pid}.ctl'}: {error.strerror or error}"
    return None
