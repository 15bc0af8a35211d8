"""All metrics there are, by the part of the program that tells them."""

from __future__ import annotations

from types import ModuleType

from controller.metrics import exposition, host, notifications, requests, topology
from controller.metrics.families import Metric


def _of(module: ModuleType) -> list[Metric]:
    return [value for value in vars(module).values() if isinstance(value, Metric)]


def catalogue() -> dict[str, list[Metric]]:
    """Part → its metrics; ``process`` is told by all processes, the others by those that have that part."""
    return {
        "process": [*_of(exposition), *exposition.PROCESS],
        "api": [*_of(requests), *_of(topology), *_of(notifications)],
        "controller": _of(host),
    }
