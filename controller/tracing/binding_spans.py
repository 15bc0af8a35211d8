"""Spans of the bindings of a host: one for each, with its stages, in the trace of the request that wrote the port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from controller.runtime.binding_times import BindingTimes
from controller.runtime.worker import Worker
from controller.tracing.exporter import end, epoch_ns

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class BindingSpans(Worker[int, BindingTimes]):
    """Makes spans of what the agent tells, beside it.

    :param host: name of this host
    """

    def __init__(self, provider: TracerProvider, host: str) -> None:
        super().__init__("traces")
        self._provider = provider
        self._tracer = provider.get_tracer("tunbridge.controller")
        self._host = host
        self._number = 0

    def put(self, times: BindingTimes) -> None:
        """Have the spans of one binding sent; returns at once."""
        self._number += 1
        self.submit({self._number: times})

    def run(self) -> None:
        """Do what waits until the process ends, and send it."""
        super().run()
        end(self._provider)

    def _do(self, batch: Mapping[int, BindingTimes]) -> None:
        for times in batch.values():
            self._tell(times)

    def _tell(self, times: BindingTimes) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": times.trace} if times.trace else {})
        attributes = {"tunbridge.port": times.port_id, "tunbridge.device": times.device, "tunbridge.host": self._host}
        if times.network_id is not None:
            attributes["tunbridge.network"] = times.network_id
        whole = self._tracer.start_span(
            "bind port", parent, trace.SpanKind.CONSUMER, attributes, start_time=epoch_ns(times.began)
        )
        inside = trace.set_span_in_context(whole)
        last = times.active
        for stage, start, stop in stages(times):
            self._tracer.start_span(stage, inside, start_time=epoch_ns(start)).end(epoch_ns(stop))
            last = max(last, stop)
        whole.end(epoch_ns(last))


def stages(times: BindingTimes) -> Iterator[tuple[str, float, float]]:
    """Name, beginning and end of each stage, as the metrics have them; of the last, where the topology was told."""
    yield "decided", times.began, times.decided
    yield "flows", times.decided, times.flows
    yield "tag", times.decided, times.tagged
    yield "sending", max(times.flows, times.tagged), times.active
    if times.told is not None and times.reported is not None:
        yield "reported", times.told, times.reported
