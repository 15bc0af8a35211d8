"""A source of spans that are sent to a collector, by OpenTelemetry's own library.

Spans are collected and sent by a thread of that library, which drops what it cannot send in time: nothing waits for a
collector.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from controller.config.otel_options import OtelConfig
from controller.runtime.version import installed_version
from topology.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_DELAY = 1.0
"""Seconds after which spans are sent that were collected."""

_TIMEOUT = 5.0
"""Seconds that a collector has to take them."""

_LAST = 2.0
"""Seconds that it has at the end of the process."""


def tracer_provider(otel: OtelConfig, service: str, host: str) -> TracerProvider:
    """A source of spans; to be ended by :func:`end`.

    :param otel: with an endpoint
    :param service: name of the part of the program
    :param host: name of this host
    :raises ConfigError: the library is not installed
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"[otel] traces_endpoint: OpenTelemetry is not installed ({error}): pip install 'tunbridge[otel]'"
        ) from None
    about = {"service.name": service, "service.version": installed_version() or "", "host.name": host}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=otel.traces_endpoint, timeout=_TIMEOUT)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_DELAY * 1000))
    # It says that a collector is away once for each second of that, as an error of ours.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return provider


def end(provider: TracerProvider) -> None:
    """Send what waits, as far as the collector takes it soon."""
    provider.force_flush(int(_LAST * 1000))
    provider.shutdown()


def epoch_ns(at: float) -> int:
    """Nanoseconds since the epoch of a time of :func:`time.monotonic`."""
    return time.time_ns() - round((time.monotonic() - at) * 1e9)
