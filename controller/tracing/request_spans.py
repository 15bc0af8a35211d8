"""A span of each request of the Network API, and of each change of the topology that it makes.

The context of the latter is written into the row of a port (see :mod:`topology.trace_context`), where the host finds it
that binds the port.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import falcon

from controller.tracing.exporter import end

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_UNTOLD = frozenset({"/metrics", "/healthz"})
"""Paths that are asked for all the time."""


class RequestSpans:
    """A middleware of Falcon's; who comes with a ``traceparent`` has the request in its own trace."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tunbridge.network_api")

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Begin the span; it is the current one of the request's thread."""
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if request.path in _UNTOLD:
            return
        given = {name: value for name in ("traceparent", "tracestate") if (value := request.get_header(name))}
        parent = TraceContextTextMapPropagator().extract(given)
        span = self._tracer.start_span(
            request.method,
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": request.method, "url.path": request.path},
        )
        request.context.span = span, context.attach(trace.set_span_in_context(span, parent))

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """End it."""
        from opentelemetry import context, trace

        found: tuple[Any, Any] | None = getattr(request.context, "span", None)
        if found is None:
            return
        span, token = found
        status = response.status_code
        route = request.uri_template or ""
        span.update_name(f"{request.method} {route}".strip())
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        span.end()
        context.detach(token)

    @contextmanager
    def transaction(self) -> Iterator[str | None]:
        """A change of the topology, within the request of this thread; gives its ``traceparent``, sampled or not."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        with self._tracer.start_as_current_span("topology transaction", record_exception=False):
            carrier: dict[str, str] = {}
            TraceContextTextMapPropagator().inject(carrier)
            yield carrier.get("traceparent")

    def stop(self) -> None:
        """Send what waits."""
        end(self._provider)
