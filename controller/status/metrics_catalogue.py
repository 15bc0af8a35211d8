"""All metrics there are, by the part of the program that tells them."""

from __future__ import annotations

from types import ModuleType

from controller.network_api import api_metrics
from controller.runtime import exposition
from controller.runtime.metric_families import Metric
from controller.status import host_metrics, server_metrics
from controller.status.traffic import drop_metrics, interface_metrics


def _of(module: ModuleType) -> list[Metric]:
    return [value for value in vars(module).values() if isinstance(value, Metric)]


def catalogue() -> dict[str, list[Metric]]:
    """Part → its metrics; ``process`` is told by all processes, the others by those that have that part."""
    return {
        "process": [*_of(exposition), *exposition.PROCESS],
        "api": _of(api_metrics),
        "controller": _of(host_metrics),
        "traffic": [*_of(interface_metrics), *_of(drop_metrics)],
        "topology server": _of(server_metrics),
    }
