"""A client of the event stream: it reads as any of server-sent events would, and comes back where it was."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any, NamedTuple

from tests.support.http.api_process import Client
from tests.support.waiting import wait_until

PATH = "/v2.0/tunbridge/events"


class StreamMessage(NamedTuple):
    """A message as it came."""

    id: str
    event: str
    data: Any


class EventReader:
    """Reads in a thread of its own, from the time it is made until :meth:`close`.

    :param client: of the API
    :param last_event_id: where it goes on
    :param headers: further ones
    :param query: of its request
    """

    def __init__(
        self,
        client: Client,
        last_event_id: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.messages: list[StreamMessage] = []
        self.last_event_id = last_event_id or ""
        self.heartbeats = 0
        self.ended = threading.Event()
        given = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        if client.tls is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        else:
            self._connection = http.client.HTTPSConnection("127.0.0.1", client.port, timeout=60, context=client.tls)
        self._connection.request("GET", f"{PATH}{query}", headers={**client.own_headers, **given, **(headers or {})})
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def events(self) -> list[str]:
        """Names of what has come so far."""
        return [message.event for message in self.messages]

    def wait(self, event: str, **fields: object) -> StreamMessage:
        """Wait for a message; it."""

        def found() -> StreamMessage | None:
            for one in tuple(self.messages):
                if one.event == event and fields.items() <= one.data.get("fields", one.data).items():
                    return one
            return None

        one = wait_until(found, 20, lambda: f"{event} {fields}, not only {self.messages}")
        assert one is not None
        return one

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._connection.close()

    def _read(self) -> None:
        event, data = "", ""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := self._response.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "id":
                    self.last_event_id = value
                elif name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif name == "" and value == "" and line.startswith(":"):
                    self.heartbeats += 1
                elif not line.strip() and data:
                    self.messages.append(StreamMessage(self.last_event_id, event, json.loads(data)))
                    event = data = ""
        self.ended.set()
