"""OpenTelemetry where it is not installed, and what is no trace."""

from __future__ import annotations

import sys

import pytest

from controller.config.otel_options import OtelConfig
from controller.tracing.exporter import tracer_provider
from topology.errors import ConfigError
from topology.trace_context import trace_of


def test_the_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for traces is told what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"\[otel\] traces_endpoint: OpenTelemetry is not installed .*pip install"):
        tracer_provider(OtelConfig(traces_endpoint="http://127.0.0.1:4318/v1/traces"), "x", "host1")


@pytest.mark.parametrize(
    "text", ["", "00", "01-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-" + "A" * 32 + "-" + "b" * 16 + "-01", "x" * 9999]
)
def test_what_is_no_trace(text: str) -> None:
    assert trace_of({"traceparent": text}) is None
    assert trace_of({}) is None
