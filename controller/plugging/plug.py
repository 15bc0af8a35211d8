"""``tunbridge plug`` and ``tunbridge unplug``: row, device, namespace, in this order, and back.

Each step does what is missing, so that a call that was cut short is finished by the next one. The rows are made first
and removed last: they know what else there may be.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from controller.config.config import Config
from controller.plugging import links
from controller.plugging.device_plan import DevicePlan, device_name, plan_device
from controller.plugging.device_rows import DeviceRows, device_rows
from controller.status.control_client import ControlError, call
from topology.database.port_lookup import Found, PortDetails, port_lookup
from topology.errors import DeviceError, TopologyError, TunbridgeError
from topology.model import PortStatus
from topology.ovsdb.one_shot import Followed, followed

_TIMEOUT = 10.0  # seconds to wait for the topology database
_STATUS_TIMEOUT = 2.0  # seconds to ask the controller what it says


def plug(config: Config, port_id: str, netns: str | None, wait: float | None) -> str:
    """Plug a port.

    :param port_id: canonical
    :param netns: name of the namespace to have the device in, which is made where it is not there; None: our own
    :param wait: seconds to wait until the port is ACTIVE; None: not at all
    :returns: what was done, as one line
    :raises TopologyError: there is no such port, it is another host's, or the topology database does not answer
    :raises VSwitchError: as of :meth:`controller.plugging.device_rows.DeviceRows.plug`; what was made is taken away
        again
    :raises DeviceError: the device cannot be set up, and what was made is taken away again; or it is plugged, and the
        port is not ACTIVE in time
    """
    with (
        followed(port_lookup(config.topology_connection, port_id, config.topology.tls), _TIMEOUT) as port,
        _rows(config) as rows,
    ):
        details = _details(config, port_id, port.latest)
        plan = plan_device(details, with_routes=netns is not None)
        done = _make(rows, plan, port_id, netns)
        if wait is not None:
            _wait_active(config, rows, port, plan.name, wait)
        state = port.latest.port.port.status.value if port.latest.port else "deleted"
        return _told(port_id, plan, netns, done, state)


def unplug(config: Config, port_id: str) -> str:
    """Take a port's device away, with its namespace where :func:`plug` has made that.

    :param port_id: canonical; the topology need not have the port any more
    :returns: what was done, as one line
    :raises VSwitchError: the device is another one's; the local OVSDB refuses the change or does not answer
    :raises DeviceError: something cannot be removed; the next call tries it again
    """
    name = device_name(port_id)
    with _rows(config) as rows:
        done = _take_away(rows, name, port_id)
    return f"port {port_id} " + (f"unplugged: {'; '.join(done)}" if done else "is not plugged in here: nothing to do")


@contextmanager
def _rows(config: Config) -> Iterator[DeviceRows]:
    with device_rows(config.ovs.ovsdb_connection, config.ovs.integration_bridge, config.ovs.tls) as rows:
        yield rows


def _details(config: Config, port_id: str, found: Found) -> PortDetails:
    """The port, if this host may have it.

    :raises TopologyError: it may not, or there is none
    """
    if found.port is None:
        for problem in found.problems:
            if problem.object_id == port_id:
                raise TopologyError(f"port {port_id} is broken in the topology database: {problem.reason}")
        raise TopologyError(
            f"there is no port {port_id} in the topology database at {config.topology_connection}: "
            "`openstack port list` or `tunbridge export` shows those that are there"
        )
    wanted = found.port.port.requested_host
    if wanted not in (None, config.host):
        raise TopologyError(f"port {port_id} is for host {wanted} (binding:host_id), and this is {config.host}")
    return found.port


def _make(rows: DeviceRows, plan: DevicePlan, port_id: str, netns: str | None) -> list[str]:
    """Make the device, or nothing; what was done, in words."""
    is_new = rows.find(plan.name, port_id) is None
    if is_new and links.device_exists(plan.name):
        raise DeviceError(f"the name {plan.name} is taken by a network device that is not Open vSwitch's: remove it")
    makes_netns = netns is not None and not links.namespace_exists(netns)
    done = []
    try:
        if rows.plug(plan, netns, makes_netns=makes_netns):
            done.append(f"made {plan.name}" if is_new else f"rows of {plan.name}")
        rows.wait_made(plan.name)
        if netns is not None and links.make_namespace(netns):
            done.append(f"made namespace {netns}")
        return done + links.set_up(plan, netns)
    except BaseException:
        # The reason why it failed is what is to be told; rows that stay tell the next call what there is to remove.
        with suppress(TunbridgeError):
            if is_new:
                _take_away(rows, plan.name, port_id)
        raise


def _take_away(rows: DeviceRows, name: str, port_id: str) -> list[str]:
    """Take a device away, if it is there; what was done, in words."""
    device = rows.find(name, port_id)
    if device is None:
        return []
    done = [f"{name} removed"]
    if device.netns is not None and links.namespace_exists(device.netns):
        links.bring_back(name, device.netns)
        if device.netns_made and not rows.sharing(device.netns, name):
            others = links.remove_namespace(device.netns, name)
            left = f"left, it has {', '.join(others)}" if others else "removed"
            done.append(f"namespace {device.netns} {left}")
    rows.unplug(name, port_id)
    links.wait_gone(name)
    return done


def _wait_active(config: Config, rows: DeviceRows, port: Followed[Found], name: str, timeout: float) -> None:
    """Wait until the controller of this host says that the port is up.

    :raises DeviceError: it does not in time
    """
    deadline = time.monotonic() + timeout

    def is_active(found: Found) -> bool:
        state = found.port.port if found.port is not None else None
        return state is not None and (state.status, state.host) == (PortStatus.ACTIVE, config.host)

    # First the tag: a port that was unplugged a moment ago may still be called ACTIVE.
    if rows.wait_wired(name, timeout) and port.until(is_active, max(0.0, deadline - time.monotonic())):
        return
    found = port.latest.port
    state = found.port.status.value if found is not None else "gone from the topology"
    raise DeviceError(f"{name} is plugged in, but the port is {state} after {timeout:g} s: {_why(config, name)}")


def _why(config: Config, name: str) -> str:
    """What the controller of this host says of a device."""
    try:
        status = call(config.control_socket, "status", timeout=_STATUS_TIMEOUT)
    except ControlError as error:
        return str(error)
    reasons = [port["reason"] for port in status["ports"] if port["device"] == name and port["reason"]]
    problems = reasons + list(status["problems"])
    return "; ".join(problems) if problems else "`tunbridge status` shows what the controller is doing"


def _told(port_id: str, plan: DevicePlan, netns: str | None, done: list[str], state: str) -> str:
    where = f" in namespace {netns}" if netns is not None else ""
    what = " ".join([plan.mac_address, *plan.addresses])
    if not done:
        return f"port {port_id} is plugged in as {plan.name}{where} already: {what}, {state}"
    made = " (namespace made)" if f"made namespace {netns}" in done else ""
    return f"port {port_id} plugged in as {plan.name}{where}{made}: {what}, {state}"
