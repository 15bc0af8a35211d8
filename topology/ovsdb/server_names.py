"""Servers that are given by name: the addresses that their names have, asked for again while none of them is followed.

The ovs package resolves names by libunbound, where that is installed, and takes one address of them; without it, it
takes them for this machine. The C library's own resolver knows all that this machine does (resolv.conf, hosts,
nsswitch.conf), and waits: getent(1) asks it in a process of its own, so nobody waits with it, on any hub.
"""

from __future__ import annotations

import ipaddress
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from topology.errors import TopologyUnavailable

_PATIENCE = 30.0
"""Seconds that an answer may take; the C library gives up after 5 to 20."""

_PAUSE = 2.0
"""Seconds between two questions."""


@dataclass(frozen=True)
class Server:
    """One way to one server.

    :param method: OVSDB connection method, with an IP address or a path
    :param name: that its address has; None: none was given
    """

    method: str
    name: str | None = None


def name_of(method: str) -> str | None:
    """The name in an OVSDB connection method; None: it has an address or a path."""
    kind, _, rest = method.partition(":")
    host = rest.rpartition(":")[0].strip("[]")
    if kind not in ("tcp", "ssl"):
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None


def has_names(connection: str) -> bool:
    """Whether one of several connection methods has a name."""
    return any(name_of(method.strip()) for method in connection.split(","))


def servers(connection: str) -> tuple[list[Server], list[str]]:
    """The servers of connection methods, in their order, each address of a name being one; blocks.

    :param connection: OVSDB connection methods, comma-separated
    :returns: these, and what is wrong with names that have no address
    """
    found: dict[str, Server] = {}
    problems = []
    for method in (one.strip() for one in connection.split(",")):
        name = name_of(method)
        if name is None:
            found.setdefault(method, Server(method))
            continue
        kind, _, rest = method.partition(":")
        port = rest.rpartition(":")[2]
        try:
            addresses = _addresses(name)
        except OSError as error:
            problems.append(f"{name}: {error}")
            continue
        for address in addresses:
            host = f"[{address}]" if ":" in address else address
            found.setdefault(f"{kind}:{host}:{port}", Server(f"{kind}:{host}:{port}", name))
    return list(found.values()), problems


def _addresses(name: str) -> list[str]:
    """All addresses of a name, in the order of the C library (RFC 6724).

    :raises OSError: there is none, or nobody knows
    """
    try:
        done = subprocess.run(
            ["getent", "ahosts", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise OSError("whoever knows its addresses does not answer") from None
    found = dict.fromkeys(line.split()[0] for line in done.stdout.splitlines() if line.strip())
    if not found:
        raise OSError("this name has no address")
    return list(found)


def with_addresses(connection: str) -> str:
    """Connection methods for a program that takes no names; blocks where there are any.

    :raises TopologyUnavailable: none of the names has an address
    """
    if not has_names(connection):
        return connection
    found, problems = servers(connection)
    if not found:
        raise TopologyUnavailable(f"{connection}: {'; '.join(problems)}")
    return ",".join(server.method for server in found)


class NameWatch:
    """Asks for the addresses of names, in a thread of its own, while somebody says that he needs them.

    :param connection: OVSDB connection methods, comma-separated
    :param news: called in that thread when there is an answer; must only enqueue
    """

    def __init__(self, connection: str, news: Callable[[], None]) -> None:
        self._connection = connection
        self._news = news
        self._needed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.servers: list[Server] = []
        """All that were found by the last answer that had any."""
        self.problem: str | None = None
        """What is wrong with names, by the last answer."""

    def need(self) -> None:
        """Ask, now or as soon as :data:`_PAUSE` is over; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ovsdb-names", daemon=True)
            self._thread.start()
        self._needed.set()

    def stop(self) -> None:
        """Ask no more; what is under way is not waited for."""
        self._stopping.set()
        self._needed.set()

    def _run(self) -> None:
        while True:
            self._needed.wait()
            if self._stopping.is_set():
                return
            self._needed.clear()
            found, problems = servers(self._connection)
            self.problem = "; ".join(problems) or None
            if found and found != self.servers:
                self.servers = found
                self._news()
            if self._stopping.wait(_PAUSE):
                return
