"""A connection to an OVSDB server that says what it is told to say, be it nonsense (RFC 7047 §4)."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.support.certificates import Identity
from tests.support.waiting import wait_until
from topology.database.tables import DATABASE

if TYPE_CHECKING:
    from topology.server.embedded_server import EmbeddedServer


class RawOvsdb:
    """One connection; as a context manager it is closed in the end.

    :param connection: ``unix:PATH``, ``tcp:ADDRESS:PORT``, or ``ssl:ADDRESS:PORT``
    :param identity: whose certificate is shown, for the last
    :param timeout: seconds that the server has to answer, or to take what is sent
    """

    def __init__(self, connection: str, identity: Identity | None = None, timeout: float = 60.0) -> None:
        kind, _, where = connection.partition(":")
        if kind == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(where)
            except OSError:
                self.sock.close()
                raise
        else:
            address, _, port = where.rpartition(":")
            self.sock = socket.create_connection((address, int(port)), timeout)
        if kind == "ssl" and identity is not None:
            context = ssl.create_default_context(cafile=identity.ca_cert)
            context.load_cert_chain(identity.certificate, identity.key)
            self.sock = context.wrap_socket(self.sock, server_hostname=address)
        self._text = ""
        self._requests = 0

    def __enter__(self) -> RawOvsdb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, method: str, *params: Any) -> int:
        """A request whose answer nobody waits for; its id."""
        self._requests += 1
        self.sock.sendall(json.dumps({"method": method, "params": params, "id": self._requests}).encode())
        return self._requests

    def request(self, method: str, *params: Any) -> Any:
        """A request, and the result of its answer; what comes before it is dropped."""
        number = self.send(method, *params)
        for message in self.messages():
            if message.get("id") == number and "result" in message:
                assert message.get("error") is None, message["error"]
                return message["result"]
        raise ConnectionError(f"the server has ended the connection before the answer to {method}")

    def transact(self, *operations: dict[str, Any]) -> list[Any]:
        """One transaction, which must succeed: the results of its operations."""
        results: list[Any] = self.request("transact", DATABASE, *operations)
        assert all("error" not in (result or {}) for result in results), results
        return results

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server sends, until it ends the connection."""
        decoder = json.JSONDecoder()
        while True:
            try:
                message, end = decoder.raw_decode(self._text)
            except ValueError:
                if not (data := self.sock.recv(1 << 20)):
                    return
                self._text += data.decode()
                continue
            self._text = self._text[end:]
            yield message


def wait_answers(connection: str) -> None:
    """Wait until a server has the topology database: it has a process, and the file of its socket, before that.

    :param connection: where no certificate is needed
    """

    def answers() -> bool:
        try:
            with RawOvsdb(connection) as server:
                return DATABASE in server.request("list_dbs")
        except OSError:
            return False

    wait_until(answers, 60, f"the server at {connection} answers")


def wait_successor(server: EmbeddedServer, ended: int) -> None:
    """Wait until a server whose process has ended was started again, and answers.

    :param ended: id of that process
    """
    wait_until(lambda: server.pid not in (None, ended), 60, "it is started again")
    wait_answers(server.connection)
