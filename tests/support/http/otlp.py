"""A collector of OpenTelemetry: takes spans as OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/)."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """One span; ids in hexadecimal digits, times in nanoseconds since the epoch.

    :param parent: empty: it begins a trace
    """

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: dict[str, str]


class Collector:
    """Takes what is sent to it; a context manager."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector._receive(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Where spans are posted."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def of(self, trace: str) -> list[Span]:
        """The spans of one trace that have come, by their start."""
        return sorted((one for one in self.spans if one.trace == trace), key=lambda one: one.start)

    def _receive(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                self.spans += [
                    Span(
                        about["service.name"], one.name,
                        one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex(),
                        one.start_time_unix_nano, one.end_time_unix_nano,
                        {each.key: each.value.string_value for each in one.attributes},
                    )
                    for one in of_scope.spans
                ]  # fmt: skip

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
