"""What is told of the ports of servers: the events of Nova's ``os-server-external-events``.

Which ports, and when, is as in Neutron (``neutron/notifiers/nova.py``): those of a server (``device_id`` is a UUID and
``device_owner`` begins with ``compute:``), when they become ACTIVE, when they were ACTIVE and become DOWN, and when
they are deleted. BUILD is not told; unlike there, a port that becomes DOWN by BUILD is told to be unplugged too.

An event follows from what was told before and from what the port is now, so that it does not matter who looks, nor how
often; see https://docs.openstack.org/api-ref/compute/#create-external-events-os-server-external-events.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from topology.model import PortStatus

PLUGGED = "network-vif-plugged"
UNPLUGGED = "network-vif-unplugged"
DELETED = "network-vif-deleted"

_OWNERS = "compute:"


@dataclass(frozen=True)
class Seen:
    """A port as it is.

    :param device_id: of the server that it belongs to; None: it is no server's
    """

    device_id: str | None
    status: PortStatus


@dataclass(frozen=True)
class Told:
    """What is remembered of a port, and outlives it.

    :param status: ACTIVE: it was told to be plugged; BUILD: it was too, and has not been ACTIVE all the time since;
        DOWN: it was not, or was told to be unplugged after that
    """

    device_id: str
    status: PortStatus


@dataclass(frozen=True)
class Event:
    """One event."""

    name: str
    device_id: str
    port_id: str

    def body(self) -> Mapping[str, str]:
        """An item of ``events`` of the request."""
        return {"name": self.name, "server_uuid": self.device_id, "tag": self.port_id, "status": "completed"}


def seen(device_id: str, device_owner: str, status: PortStatus) -> Seen:
    """A port of these attributes."""
    return Seen(device_id if device_owner.startswith(_OWNERS) and _is_uuid(device_id) else None, status)


def _is_uuid(text: str) -> bool:
    """As Nova takes one for ``server_uuid``; for anything else it refuses the whole request."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def to_remember(told: Told | None, now: Seen | None, *, left: bool) -> Told | None:
    """What is to be remembered before anything more is told of a port.

    Of a port that another server gets, or none, nothing is told for the one that had it: that one has asked for it.

    :param now: None: it is deleted
    :param left: it was seen in another status than ACTIVE since anything was told
    :returns: None: nothing
    """
    if now is None:
        return told
    if now.device_id is None:
        return None
    if told is None or told.device_id != now.device_id:
        return Told(now.device_id, PortStatus.DOWN)
    if told.status is PortStatus.ACTIVE and (left or now.status is not PortStatus.ACTIVE):
        return replace(told, status=PortStatus.BUILD)
    return told


def due(port_id: str, told: Told | None, now: Seen | None) -> Event | None:
    """What is to be told of a port, once it is remembered.

    :param now: None: it is deleted
    """
    if told is None:
        return None
    name = None
    if now is None:
        name = DELETED
    elif now.status is PortStatus.ACTIVE and told.status is not PortStatus.ACTIVE:
        name = PLUGGED
    elif now.status is PortStatus.DOWN and told.status is not PortStatus.DOWN:
        name = UNPLUGGED
    return None if name is None else Event(name, told.device_id, port_id)


def after(event: Event) -> Told | None:
    """What is to be remembered when an event was told."""
    if event.name == DELETED:
        return None
    return Told(event.device_id, PortStatus.ACTIVE if event.name == PLUGGED else PortStatus.DOWN)
