"""All metrics of a process, as text for a scrape (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import Metric as Family

from controller.runtime.metric_families import Kind, Metric
from controller.runtime.version import installed_version

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUILD = Metric("tunbridge_build_info", Kind.GAUGE, "Always 1; the release that runs", ("version",))

PROCESS = (
    Metric("process_cpu_seconds_total", Kind.COUNTER, "Processor time of the process"),
    Metric("process_max_fds", Kind.GAUGE, "File descriptors that it may have open"),
    Metric("process_open_fds", Kind.GAUGE, "File descriptors that it has open"),
    Metric("process_resident_memory_bytes", Kind.GAUGE, "Memory that it occupies"),
    Metric("process_start_time_seconds", Kind.GAUGE, "When it was started, in seconds since the epoch"),
    Metric("process_virtual_memory_bytes", Kind.GAUGE, "Address space that it has"),
)
"""What prometheus_client's own collector tells of a process."""

Collect = Callable[[], Iterable[Family]]


class Exposition:
    """The metrics of one process; made anew at each scrape.

    :param of_process: tell of the process as such too: its memory, its age, its release
    """

    def __init__(self, *, of_process: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing here asks for
        self.registry = CollectorRegistry()
        if of_process:
            ProcessCollector(registry=self.registry)
            self.add(lambda: [BUILD.family({(installed_version() or "",): 1})])

    def add(self, collect: Collect) -> None:
        """Have more told.

        :param collect: called at each scrape, in the thread of the client; must not fail
        """
        self.registry.register(_Collector(collect))

    def text(self) -> bytes:
        """All of them, now."""
        return generate_latest(self.registry)


class _Collector:
    def __init__(self, collect: Collect) -> None:
        self.collect = collect
