"""Group ``[otel]``: traces for who has a collector of OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option


@dataclass(frozen=True)
class OtelConfig(OptionGroup):
    """Group ``[otel]``."""

    about: ClassVar[str] = (
        "[Traces](tracing.md) of bindings across the Network API, the topology and hosts. Needs the extra `otel` "
        "(`pip install 'tunbridge[otel]'`); what is not said here is taken from the `OTEL_…` variables of the "
        "environment."
    )

    traces_endpoint: str | None = option(
        None,
        kinds.optional(kinds.url),
        "Where spans are posted (OTLP over HTTP, protobuf), such as `http://127.0.0.1:4318/v1/traces`. Unset: there "
        "are none",
        form="URL",
    )
