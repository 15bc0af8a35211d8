"""What becomes of a frame on another host: as that host's own trace says, or else as the topology lets one expect.

The controller of a host answers at a socket of that host alone, so it is asked by a command that is run there
(``--via``), for instance by ssh: whoever may ask for that host's status may trace on it, and nobody else.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.status.explanation import HostAnswers, Json
from controller.status.remedies import remedy
from controller.trace.traced_frame import ArrivalPoint, TracedFrame
from topology.errors import TunbridgeError
from topology.model import Host, Network, Port, PortStatus

_TIMEOUT = 30
"""Seconds for the answer of another host."""

UNTOLD = "(no controller tells what it does with it)"


class OtherHostError(TunbridgeError):
    """Another host cannot be asked."""


@dataclass(frozen=True)
class FrameCopy:
    """A copy of a frame, as far as it is known where it gets to.

    :param kind: ``port``: a device with an iface-id; ``host``: another host, of which no more is known; ``physical``: a
        physical network; ``bridge``: a bridge's own device, or one that has no iface-id
    :param device: of a host that was asked: where it ends there, in words
    :param by: how it gets there, in words
    :param reason: why it does not, None when it does
    :param is_asked: its switch has said so, not the topology
    """

    kind: str
    host: str
    device: str | None = None
    port: str | None = None
    by: str = ""
    reason: str | None = None
    remedy: str | None = None
    is_asked: bool = True

    @property
    def place(self) -> str:
        """Where it is, in words."""
        if self.kind == "host":
            return self.device or f"host {self.host}"
        if self.kind == "physical":
            return f"{self.device} of host {self.host}"
        device = f"device {self.device}" if self.device else ""
        port = f"port {self.port}" if self.port else ""
        return f"{f'{port} ({device})' if port and device else port or device} on host {self.host}"

    @property
    def delivered(self) -> bool:
        """Whether somebody has it who is meant by the topology."""
        return self.reason is None and self.kind in ("port", "host")


def run_there(via: str, host: str, arguments: Sequence[str], more: int = 0) -> Json:
    """What ``tunbridge trace`` says on another host, as JSON.

    :param via: runs a command on the host whose name is in the place of ``{host}``, e.g. ``ssh {host}``
    :param more: seconds that it has beyond what an answer takes
    :raises OtherHostError: it says nothing
    """
    command = shlex.join(["tunbridge", "trace", *arguments, "--json"])
    try:
        words = [word.replace("{host}", host) for word in shlex.split(via)]
        done = subprocess.run([*words, command], capture_output=True, text=True, timeout=_TIMEOUT + more, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise OtherHostError(f"host {host} did not answer within {_TIMEOUT} s") from None
    except OSError as error:
        raise OtherHostError(f"host {host} cannot be asked: {error.strerror or error}") from None
    except ValueError:
        said = " ".join(done.stderr.split()[:60]) or f"exit status {done.returncode}"
        raise OtherHostError(f"host {host} cannot be asked: {said}") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("copies"), list):
        raise OtherHostError(f"host {host} cannot be asked: it answers something else")
    return answer


def expected(
    host: Host, point: ArrivalPoint, network: Network, frame: TracedFrame, known: HostAnswers
) -> list[FrameCopy]:
    """What the flows of another host do with a frame that arrives there, by what the topology has.

    :param network: of the frame
    """
    if not host.instance:
        return [FrameCopy("host", host.name, by=UNTOLD, is_asked=False)]

    def dropped(reason: str, remedy: str | None = None) -> list[FrameCopy]:
        return [FrameCopy("host", host.name, reason=reason, remedy=remedy, is_asked=False)]

    if (reason := _uncarried(host, network)) is not None:
        return dropped(*reason)
    ports = [port for port in known.ports.values() if port.network_id == network.id]
    bound = [port for port in ports if port.host == host.name and port.status is PortStatus.ACTIVE]
    if not bound:
        return dropped(f"no port of network {network.id} is bound there", "plug a device of a port of it in there")
    impostor = [port for port in bound if port.mac_address == frame.source and len(_having(frame.source, ports)) == 1]
    if impostor and point.kind:
        return dropped(
            f"it is sent in the name of port {impostor[0].id}, which is bound there and has {frame.source}",
            "give the sender a MAC address of its own, or both ports the address (allowed_address_pairs)",
        )
    if frame.is_multicast:
        return [FrameCopy("port", host.name, port=port.id, is_asked=False) for port in bound]
    owners = _having(frame.destination, bound)
    if not owners:
        return dropped(f"no port of network {network.id} that is bound there has {frame.destination}")
    return [FrameCopy("port", host.name, port=port.id, is_asked=False) for port in owners]


def _having(mac: str, ports: Iterable[Port]) -> list[Port]:
    return [port for port in ports if mac in (port.mac_address, *port.allowed_macs)]


def _uncarried(host: Host, network: Network) -> tuple[str, str] | None:
    kind = network.network_type
    if kind.is_tunnel and kind.value not in host.tunnel_types:
        return f"{kind.value} is not in [agent] tunnel_types of host {host.name}", f"add {kind.value} to it there"
    if kind.is_physical and network.physical_network not in dict(host.bridge_mappings):
        return (
            f"physical network {network.physical_network} is not in [ovs] bridge_mappings of host {host.name}",
            "add it there, or plug the device in on a host that has it",
        )
    return None


def absence(port: Port, known: HostAnswers) -> tuple[str, str | None] | None:
    """Why a port gets no frames wherever they are sent, and what to do, as the topology has it; None: it does."""
    network = known.networks.get(port.network_id)
    host = port.requested_host or port.host
    reason = None
    if not port.admin_state_up:
        reason = "admin_state_up of the port is false"
    elif network is None:
        reason = f"the topology has no valid network {port.network_id}"
    elif not network.admin_state_up:
        reason = f"admin_state_up of network {network.id} is false"
    if reason is not None:
        return reason, remedy(reason)
    iface = f"plug a device with external_ids:iface-id={port.id} into br-int"
    if host is None:
        return "no host has bound it", f"{iface} of a host; where one is plugged in, tunbridge explain there says more"
    if host in known.hosts and not known.hosts[host].instance:
        return None
    if port.host is None:
        return f"binding:host_id is {host}, and that has not bound it", f"{iface} of {host}"
    if port.status is not PortStatus.ACTIVE:
        return f"host {port.host} says that it is {port.status.value}", f"tunbridge explain {port.id} on it says why"
    return None
