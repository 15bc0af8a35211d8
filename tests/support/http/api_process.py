"""A real ``tunbridge api`` process on a real topology database, and plain requests to it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from scripts.processes import ChildProcess
from tests.support.host.tunbridge import ROOT, free_tcp_port
from tests.support.waiting import wait_until


class Answer:
    """What the API answered."""

    def __init__(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json: Any = json.loads(raw) if raw else None

    @property
    def error(self) -> str:
        """``NeutronError.type``."""
        return str(self.json["NeutronError"]["type"])

    @property
    def message(self) -> str:
        """``NeutronError.message``."""
        return str(self.json["NeutronError"]["message"])


class Client:
    """Sends requests to one API, each on a connection of its own.

    :param token: to be shown with each request
    :param tls: for HTTPS
    """

    def __init__(self, port: int, token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self.tls = tls
        self.patience = 60.0
        """Seconds that an answer may take."""
        self.own_headers = {} if token is None else {"X-Auth-Token": token}
        """Those of each request."""

    def with_token(self, token: str) -> Client:
        """The same API, asked with a token."""
        return Client(self.port, token, self.tls)

    def request(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """One request.

        :param body: bytes as they are, anything else as JSON
        """
        if self.tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        else:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.patience, context=self.tls)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        own = {**self.own_headers, **({"Content-Type": "application/json"} if raw is not None else {})}
        try:
            connection.request(method, path, raw, {**own, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, status: int = 200) -> Any:
        """What is at a path below /v2.0."""
        return self._expect("GET", path, None, status).json

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """A new object, as the API shows it."""
        made: dict[str, Any] = self._expect("POST", f"/{kind.replace('_', '-')}s", {kind: values}, 201).json[kind]
        return made

    def update(self, kind: str, object_id: str, **values: Any) -> dict[str, Any]:
        """A changed one."""
        path = f"/{kind.replace('_', '-')}s/{object_id}"
        made: dict[str, Any] = self._expect("PUT", path, {kind: values}, 200).json[kind]
        return made

    def delete(self, kind: str, object_id: str) -> None:
        """Delete one."""
        self._expect("DELETE", f"/{kind.replace('_', '-')}s/{object_id}", None, 204)

    def _expect(self, method: str, path: str, body: Any, status: int) -> Answer:
        answer = self.request(method, f"/v2.0{path}", body)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.json}"
        return answer


class ApiProcess(Client):
    """``tunbridge api``; as a context manager it is ended, and must have ended well.

    :param connection: of its topology database
    :param options: group → option → value
    :param hub: OSKEN_HUB_TYPE
    :param tls: where the options make it speak HTTPS
    :param prefix: put before its command
    """

    def __init__(
        self,
        connection: str,
        *,
        options: Mapping[str, Mapping[str, object]] | None = None,
        hub: str | None = None,
        tls: ssl.SSLContext | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        super().__init__(free_tcp_port(), tls=tls)
        self.directory = Path(tempfile.mkdtemp(prefix="api-", dir="/tmp"))
        self.log = self.directory / "api.log"
        self._told = self._killed = False
        self.may_trace = False
        """Whether a traceback in the log is nothing that this process has to be ashamed of."""
        given: dict[str, Mapping[str, object]] = {"topology": {"connection": connection}, **(options or {})}
        given["api"] = {"listen_port": self.port, **given.get("api", {})}
        config = self.directory / "tunbridge.conf"
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) for group, values in given.items()]
        config.write_text("".join(lines))
        self._process = ChildProcess(
            [*prefix, sys.executable, "-m", "controller.cli.commands", "api", "--config-file", str(config)],
            name="tunbridge api",
            log=self.log,
            env=dict(os.environ) | ({"OSKEN_HUB_TYPE": hub} if hub else {}),
            cwd=ROOT,
        )

    def __enter__(self) -> ApiProcess:
        try:
            self.wait_healthy()
        except BaseException:
            self._end()
            raise
        return self

    def wait_healthy(self) -> None:
        """Wait until requests are served."""
        wait_until(self._healthy, 30, lambda: f"the API answers\n{self.log_text()}")

    def _healthy(self) -> bool:
        self._process.require_running()
        try:
            return self.request("GET", "/healthz").status == 200
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def terminate(self) -> None:
        """Tell the process to end, and do not wait for that."""
        self._told = True
        os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._killed = True
        os.kill(self._process.pid, signal.SIGKILL)

    def log_text(self) -> str:
        """All that it has logged."""
        return self.log.read_text() if self.log.exists() else ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        status, log = self._end()
        if kind is None:
            assert status == (-signal.SIGKILL if self._killed else 0), (
                f"tunbridge api ended with status {status}\n{log}"
            )
            assert self.may_trace or "Traceback" not in log, log

    def _end(self) -> tuple[int, str]:
        try:
            # a second signal could meet an interpreter that has put its handlers away
            status = self._process.wait(60) if self._told or self._killed else self._process.stop(signal.SIGTERM)
            return status, self.log_text()
        finally:
            shutil.rmtree(self.directory)
