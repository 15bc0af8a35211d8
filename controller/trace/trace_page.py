"""A trace as ``tunbridge trace`` prints it: the flows that the frame meets, who gets a copy, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.runtime.printable_text import printable

Json = dict[str, Any]

_COPIES = 50
"""Copies that are shown; ``--json`` has all."""


def page(told: Json) -> str:
    """All lines; the last one begins with ``delivered`` or ``dropped``.

    :param told: of :func:`controller.trace.frame_trace.trace_frame`
    """
    lines = [
        *_head(told),
        *_watched(told.get("live")),
        *_hops(told["hops"]),
        *_copies(told["copies"]),
        "",
        told["sentence"],
    ]
    return "".join(f"{printable(line)}\n" for line in lines)


def _head(told: Json) -> Iterator[str]:
    source = told["from"]
    if source["arriving"] is not None:
        yield f"A frame that arrives on host {source['host']} ({source['arriving']})"
    else:
        device = f" (device {source['device']})" if source["device"] else ""
        yield f"A frame of port {source['port']}{device} on host {source['host']}"
    if told["frame"]:
        yield f"  {told['frame']}"
    yield from (f"Not known: {one}" for one in told["silent"])


def _watched(live: Json | None) -> Iterator[str]:
    if live is not None:
        yield f"Frames within {live['seconds']} s"
        yield from (f"  {one['frames']} on host {one['host']}: {one['place']}" for one in live["frames"])


def _hops(hops: list[Json]) -> Iterator[str]:
    for hop in hops:
        place = f"{hop['host']} {hop['bridge']}"
        table = f" table {hop['table']}," if hop["table"] else ""
        yield ""
        if hop["priority"] is None:
            yield f"{place}:{table} no flow matches"
        else:
            match = f", {hop['match']}" if hop["match"] else ""
            yield f"{place}:{table} priority {hop['priority']}{match}"
        if hop["band"] is not None:
            of = f", of {hop['of']['kind']} {hop['of']['id']}" if hop["of"] is not None else ""
            yield f"  {hop['band']}{of}: {hop['meaning']}"
        elif hop["priority"] is not None:
            yield "  a flow of others"
        yield from (f"  {action}" for action in hop["actions"])
        yield from (f"  -> {remark}" for remark in hop["remarks"])


def _copies(copies: list[Json]) -> Iterator[str]:
    if copies:
        yield ""
        yield "Copies"
    for copy in copies[:_COPIES]:
        yield f"  {_copy(copy)}"
    if len(copies) > _COPIES:
        yield f"  and {len(copies) - _COPIES} more"


def _copy(copy: Json) -> str:
    by = f", by {copy['by']}" if copy["by"] else ""
    ends = f": dropped because {copy['reason']}" if copy["reason"] is not None else ""
    asked = "" if copy["is_asked"] else " (by what the topology has; it was not asked)"
    return f"{copy['place']}{by}{ends}{asked}"
