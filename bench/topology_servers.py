"""Where the topology of a fabric is: one database server, or a cluster with relays."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.usage import memory
from tests.support.cluster import Cluster, TopologyHost
from tests.support.host.tunbridge import free_tcp_port
from tests.topology.ovsdb import OvsdbServer


class Servers:
    """Where the topology is.

    :param connection: as controllers have it
    :param local: of the server that writes, with all rights
    :param pids: process ids of all servers
    """

    def __init__(self, connection: str, local: str, pids: list[int]) -> None:
        self.connection, self.local, self.pids = connection, local, pids

    def memory(self) -> float:
        """MB, of the largest."""
        return max(memory(pid) for pid in self.pids)


@contextmanager
def one_server() -> Iterator[Servers]:
    """One database server."""
    port = free_tcp_port()
    with OvsdbServer() as server:
        server.start(f"--remote=ptcp:{port}:127.0.0.1")
        assert server.process is not None
        yield Servers(f"tcp:127.0.0.1:{port}", server.connection, [server.process.pid])


@contextmanager
def cluster(relays: int) -> Iterator[Servers]:
    """Three members and so many relays, which the controllers are connected to."""
    directory = Path(tempfile.mkdtemp(prefix="scale-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        members = stack.enter_context(Cluster())
        hosts = [
            TopologyHost(directory / f"r{number}", f"connection = {members.connection}") for number in range(relays)
        ]
        for host in hosts:
            stack.callback(host.stop)
            host.start("relay")
        files = [member.state / "topology.pid" for member in members.members]
        files += [host.run / "relay.pid" for host in hosts]
        connection = ",".join(host.connection for host in hosts or members.members)
        local = f"unix:{members.leader().run / 'topology.sock'}"
        yield Servers(connection, local, [int(file.read_text()) for file in files])
