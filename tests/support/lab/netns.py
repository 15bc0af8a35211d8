"""Network namespaces: the machines and the cables of the lab.

A namespace is a property of a thread, and what a thread makes in one stays there: a socket that is opened inside sends
and receives there for ever, a process that is started inside lives there. So one context manager,
:meth:`Namespace.inside`, gives the whole lab its sockets and its processes, without one more process in each.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.processes import ProcessError

NAMES = Path("/run/netns")
"""Where ip-netns(8) keeps the names."""

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17  # <linux/sockios.h>, <linux/ethtool.h>
_COMMAND_TIMEOUT = 60  # seconds
_END_TIMEOUT = 60.0  # seconds that a process has after SIGTERM
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One named network namespace, as ``ip netns add`` makes it, with its loopback up.

    IPv6 is off on devices that are made in it until :meth:`enable_ipv6`: otherwise the kernel talks on each of them,
    and frames that nobody sent on purpose are in every capture.

    :param name: as ``ip netns`` shows it
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        """Make it.

        :raises ProcessError: it exists, or we may not
        """
        run("ip", "netns", "add", self.name)
        self.ip("link set lo up")
        self.sysctl("net/ipv6/conf/default/disable_ipv6", 1)

    def delete(self) -> None:
        """Take it away, with its devices; does nothing when there is none. Processes in it are not ended."""
        if (NAMES / self.name).exists():
            run("ip", "netns", "delete", self.name)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For the length of the block, sockets and processes of this thread are made in the namespace.

        :raises OSError: there is no such namespace, or we may not enter it
        """
        with open("/proc/thread-self/ns/net", "rb") as here, open(NAMES / self.name, "rb") as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())

    def run(self, *argv: str) -> str:
        """Run a command in the namespace; its output.

        :raises ProcessError: it failed
        """
        with self.inside():
            return run(*argv)

    def ip(self, *commands: str) -> None:
        """Commands of ip(8) without the word ``ip``, one after the other.

        :raises ProcessError: one failed; those after it were not done
        """
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(commands))

    def sysctl(self, key: str, value: object) -> None:
        """Set a value below /proc/sys of the namespace.

        :param key: with slashes, since names of devices may have dots
        """
        with self.inside():
            (Path("/proc/sys") / key).write_text(str(value))

    def enable_ipv6(self, device: str) -> None:
        """Let a device have IPv6 addresses at once, without the kernel asking whether somebody else has them."""
        for key, value in {"accept_dad": 0, "router_solicitations": 0, "disable_ipv6": 0}.items():
            self.sysctl(f"net/ipv6/conf/{device}/{key}", value)

    def add_address(self, device: str, address: str) -> None:
        """Give a device an address.

        :param address: IPv4 or IPv6 with its prefix length, e.g. ``10.0.0.1/24``
        """
        self.add_addresses(device, address)

    def add_addresses(self, device: str, *addresses: str, mac: str | None = None) -> None:
        """Give a device addresses.

        :param addresses: IPv4 or IPv6 with prefix lengths
        :param mac: its MAC address from now on; None: the one that it has
        """
        if any(":" in address for address in addresses):
            self.enable_ipv6(device)
        commands = [f"link set {device} address {mac}"] if mac is not None else []
        commands += [f"address add {address} dev {device}{' nodad' if ':' in address else ''}" for address in addresses]
        self.ip(*commands)


def veth(one: Namespace, one_device: str, other: Namespace, other_device: str, mtu: int) -> None:
    """A cable between two namespaces, both ends up, checksums made before frames enter it.

    The userspace datapath sends frames on as they come in and does not fill in checksums that were left to hardware:
    without this ping works, and TCP and UDP do not.

    :param mtu: bytes
    """
    one.ip(f"link add {one_device} mtu {mtu} type veth peer name {other_device} mtu {mtu} netns {other.name}")
    for namespace, device in ((one, one_device), (other, other_device)):
        _make_checksums(namespace, device)
        namespace.ip(f"link set {device} up")


def _make_checksums(namespace: Namespace, device: str) -> None:
    """``ethtool --offload DEVICE tx off``, without a process for each of the hundreds of devices of a test run."""
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))  # struct ethtool_value
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))  # struct ifreq, netdevice(7)
    with namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)


def names_with(prefix: str) -> list[str]:
    """Names of the namespaces that begin with ``prefix``."""
    return sorted(path.name for path in NAMES.glob(f"{prefix}*"))


def pids_in(names: Iterable[str]) -> list[int]:
    """Ids of the processes that are in these namespaces, ourselves left out.

    Unlike ids in pid files, these are of the processes that are meant, however long ago the files were written.
    """
    wanted = set()
    for name in names:
        with suppress(FileNotFoundError):
            wanted.add(_identity(NAMES / name))
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if _identity(entry / "ns" / "net") in wanted and int(entry.name) != os.getpid():
                pids.append(int(entry.name))
    return pids


def end_processes(names: Iterable[str]) -> None:
    """End what runs in these namespaces, by SIGTERM and after some seconds by SIGKILL; returns when nothing does."""
    names = list(names)
    deadline = time.monotonic() + _END_TIMEOUT
    asked: set[int] = set()
    while pids := pids_in(names):
        for pid in pids:
            with suppress(ProcessLookupError):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in asked:
                    os.kill(pid, signal.SIGTERM)
        asked.update(pids)
        time.sleep(0.02)


def run(*argv: str, stdin: str = "", cwd: Path | None = None) -> str:
    """Run a command; its output.

    :raises ProcessError: it is missing, failed, or did not end in time
    """
    try:
        done = subprocess.run(argv, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT)
    except FileNotFoundError:
        raise ProcessError(f"{argv[0]}: no such command; `make` installs what the lab needs") from None
    except subprocess.TimeoutExpired:
        raise ProcessError(f"{' '.join(argv)}: no end after {_COMMAND_TIMEOUT} s") from None
    if done.returncode:
        words = " ".join([*argv, *stdin.splitlines()])
        raise ProcessError(f"{words}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")
