"""The network device of a port and its namespace, by netlink.

A namespace is a property of a thread: what is done in one is done by a thread of its own, which ends with it, so that
no other code of the process ever runs there. pyroute2 is loaded here and nowhere else; it takes a third of a second.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute, NetlinkError, netns

from controller.plugging.device_plan import DevicePlan, Route
from controller.runtime.deadline import Deadline
from topology.errors import DeviceError

T = TypeVar("T")

NAMES = Path("/run/netns")
"""Where ip-netns(8) keeps the names of namespaces."""

_TIMEOUT = 10.0  # seconds for a device to come or to go; Open vSwitch takes some 10 ms
_PAUSE = 0.01  # seconds between looks: a device has no event that every namespace would be told of
_LOOPBACK = "lo"
_NODAD = 0x02  # IFA_F_NODAD, <linux/if_addr.h>
_ONLINK = 0x04  # RTNH_F_ONLINK, <linux/rtnetlink.h>
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)


def namespace_exists(name: str) -> bool:
    """Whether ``ip netns`` would list it."""
    return (NAMES / name).exists()


def device_names() -> set[str]:
    """Names of all network devices in the namespace of this thread."""
    with _links(_LOOPBACK) as links:
        return {link.get("ifname") for link in links.get_links()}


def device_exists(name: str) -> bool:
    """Whether there is a network device of a name in the namespace of this thread."""
    with _links(name) as links:
        return bool(links.link_lookup(ifname=name))


def make_namespace(name: str) -> bool:
    """Make a namespace where there is none, as ``ip netns add`` does; whether there was none.

    :raises DeviceError: it cannot be made
    """
    if namespace_exists(name):
        return False

    def make() -> None:
        # netns.create() would fork, which is no good for a process that has threads.
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        netns.attach(name, threading.get_native_id())

    with _explained(f"namespace {name}"):
        _in_thread(make)
    return True


def remove_namespace(name: str, device: str) -> list[str]:
    """Remove a namespace that nobody else has devices in.

    :param device: name of one that does not count: what an ovs-vswitchd that has ended since has left there
    :returns: names of the devices for whose sake it was left; none: it is removed
    :raises DeviceError: it cannot be removed
    """
    others = sorted(_in_namespace(name, device_names) - {_LOOPBACK, device})
    if not others:
        with _explained(f"namespace {name}"):
            netns.remove(name)
    return others


def set_up(plan: DevicePlan, namespace: str | None) -> list[str]:
    """Make a device as it should be, in its namespace.

    :param namespace: name of one that exists; None: our own
    :returns: what had to be changed, in words
    :raises DeviceError: the device does not come, or cannot be made so
    """
    _wait(
        lambda: device_exists(plan.name) or (namespace and plan.name in _in_namespace(namespace, device_names)),
        f"Open vSwitch has made {plan.name}, but there is no such network device here after {_TIMEOUT:g} s"
        + (f", nor in namespace {namespace}" if namespace is not None else "")
        + ": does ovs-vswitchd run in this network namespace, and with a datapath that moves frames?",
    )
    if namespace is None:
        return _configure(plan, own=False)
    done = []
    if device_exists(plan.name):
        # What is there already was left by an ovs-vswitchd that has ended since.
        _in_namespace(namespace, lambda: _change_link(plan.name, "del"))
        _change_link(plan.name, "set", net_ns_fd=namespace)
        done.append(f"moved into namespace {namespace}")
    return done + _in_namespace(namespace, lambda: _configure(plan, own=True))


def bring_back(name: str, namespace: str) -> None:
    """Move a device out of a namespace into our own; does nothing where it is here already.

    :raises DeviceError: it cannot be moved
    """
    if not device_exists(name):
        here = threading.get_native_id()
        _in_namespace(namespace, lambda: _change_link(name, "set", state="down", net_ns_pid=here))


def wait_gone(name: str) -> None:
    """Wait until there is no device of a name in our own namespace.

    :raises DeviceError: there still is
    """
    _wait(
        lambda: not device_exists(name), f"network device {name} is still there {_TIMEOUT:g} s after it was unplugged"
    )


def _wait(condition: Callable[[], object], failure: str) -> None:
    deadline = Deadline(_TIMEOUT)
    while not condition():
        if deadline.is_over:
            raise DeviceError(failure)
        time.sleep(_PAUSE)


# -- in the namespace of this thread -----------------------------------------------------------------------------------


def _change_link(name: str, command: str, **arguments: Any) -> None:
    """Change a device, where there is one; see :meth:`pyroute2.IPRoute.link`."""
    with _links(name) as links:
        for index in links.link_lookup(ifname=name):
            links.link(command, index=index, **arguments)


def _configure(plan: DevicePlan, *, own: bool) -> list[str]:
    """Give a device what it lacks; what that was, in words.

    :param own: the namespace has no devices but those of ports, so that its loopback is ours to bring up
    """
    done = []
    with _links(plan.name) as links:
        index = links.link_lookup(ifname=plan.name)[0]
        (link,) = links.get_links(index)
        wanted = {"address": plan.mac_address, "mtu": plan.mtu, "state": "up"}
        if differing := {key: value for key, value in wanted.items() if link.get(key) != value}:
            links.link("set", index=index, **differing)
            done += [f"{key} {value}" for key, value in differing.items()]
        if own:
            for loopback in links.get_links(ifname=_LOOPBACK):
                if loopback.get("state") != "up":
                    links.link("set", index=loopback["index"], state="up")
        present = {f"{one.get('address')}/{one['prefixlen']}" for one in links.get_addr(index=index)}
        for address in plan.addresses:
            if address not in present:
                _add_address(links, index, plan.name, address)
                done.append(address)
        known = [_route_of(route) for route in links.get_routes(oif=index)]
        for route in plan.routes:
            if (route.destination, route.gateway) not in known:
                _add_route(links, index, route)
                done.append(f"{route.destination} via {route.gateway}")
    return done


def _add_address(links: Any, index: int, name: str, address: str) -> None:
    ip, _, length = address.partition("/")
    arguments = {"index": index, "address": ip, "prefixlen": int(length)}
    if ":" not in ip:
        links.addr("replace", **arguments)
        return
    disabled = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
    if disabled.exists() and disabled.read_text().strip() != "0":
        disabled.write_text("0")
    # The topology gives an address to one port alone. The kernel's own question, whether somebody else has it, would be
    # asked of the dead VLAN, and would keep the address from being used for a second.
    links.addr("replace", family=socket.AF_INET6, flags=_NODAD, **arguments)


def _add_route(links: Any, index: int, route: Route) -> None:
    family = socket.AF_INET6 if ":" in route.gateway else socket.AF_INET
    flags = {"flags": _ONLINK} if route.onlink else {}
    links.route("replace", family=family, dst=route.destination, gateway=route.gateway, oif=index, **flags)


def _route_of(route: Any) -> tuple[str, str | None]:
    """Destination and next hop of a route as the kernel lists it, which has no destination for a default one."""
    anywhere = "::" if route["family"] == socket.AF_INET6 else "0.0.0.0"
    return f"{route.get('dst') or anywhere}/{route['dst_len']}", route.get("gateway")


# -- threads and errors ------------------------------------------------------------------------------------------------


def _in_namespace(name: str, do: Callable[[], T]) -> T:
    """Do something in a namespace.

    :raises DeviceError: it cannot be entered
    """

    def enter() -> T:
        with _explained(f"namespace {name}"):
            netns.setns(name, 0)
        return do()

    return _in_thread(enter)


def _in_thread(do: Callable[[], T]) -> T:
    """Do something in a thread of its own, which may leave our namespace for good."""
    with ThreadPoolExecutor(1, "netns") as thread:
        return thread.submit(do).result()


@contextmanager
def _links(name: str) -> Iterator[Any]:
    """Netlink to the kernel, in the namespace of this thread.

    :param name: the device that it is about, for errors
    """
    with _explained(f"network device {name}"), IPRoute() as links:
        yield links


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of the kernel in words.

    :raises DeviceError: in their place
    """
    try:
        yield
    except (NetlinkError, OSError) as error:
        code = error.code if isinstance(error, NetlinkError) else error.errno or 0
        hint = ": plugging needs root" if code in (errno.EPERM, errno.EACCES) else ""
        raise DeviceError(f"{what}: {os.strerror(code)}{hint}") from None
