"""Finds flows that contradict each other: same bridge, table and priority, a frame that both match, different actions.

OpenFlow leaves undefined which of two such flows wins (OpenFlow 1.3 §6.4), so a set of flows that has any is a mistake.
Comparing every pair would be quadratic. Flows of one shape (the same fields and masks) can only collide when their
values are equal; flows of two shapes only when they agree on the bits that both look at. Both are look-ups in a
dictionary.
"""

from __future__ import annotations

from apps.framework.flow import Field, Flow, Match

Shape = tuple[tuple[Field, int], ...]
"""Fields and masks of a match, in order."""

_Place = tuple[int, int]


def shape_of(match: Match) -> Shape:
    """The fields that a match looks at, with their masks."""
    return tuple((term.field, term.effective_mask) for term in match.terms)


def _common(one: Shape, other: Shape) -> Shape:
    masks = dict(other)
    return tuple((field, mask & masks[field]) for field, mask in one if mask & masks.get(field, 0))


def _project(match: Match, bits: Shape) -> tuple[int, ...]:
    values = {term.field: term.value for term in match.terms}
    return tuple(values[field] & mask for field, mask in bits)


class OverlapIndex:
    """The flows of one bridge, indexed so that a contradiction is found when a flow is added."""

    def __init__(self) -> None:
        self._shapes: dict[_Place, dict[Shape, dict[Flow, None]]] = {}
        self._projections: dict[tuple[_Place, Shape, Shape], dict[tuple[int, ...], dict[Flow, None]]] = {}

    def find(self, flow: Flow) -> Flow | None:
        """A flow in the index that contradicts this one, or None.

        A flow with the same key contradicts whatever its actions are: only one of the two could be installed.
        """
        place, shape = (flow.table, flow.priority), shape_of(flow.match)
        for other_shape in self._shapes.get(place, {}):
            common = _common(shape, other_shape)
            index = self._projection(place, other_shape, common)
            for other in index.get(_project(flow.match, common), ()):
                if other.actions != flow.actions or other.key == flow.key:
                    return other
        return None

    def add(self, flow: Flow) -> None:
        """Put a flow in; call :meth:`find` first."""
        place, shape = (flow.table, flow.priority), shape_of(flow.match)
        self._shapes.setdefault(place, {}).setdefault(shape, {})[flow] = None
        for (at, of, common), index in self._projections.items():
            if at == place and of == shape:
                index.setdefault(_project(flow.match, common), {})[flow] = None

    def remove(self, flow: Flow) -> None:
        """Take a flow out that is in."""
        place, shape = (flow.table, flow.priority), shape_of(flow.match)
        flows = self._shapes[place][shape]
        del flows[flow]
        for (at, of, common), index in list(self._projections.items()):
            if at == place and of == shape:
                bucket = index[_project(flow.match, common)]
                del bucket[flow]
                if not bucket:
                    del index[_project(flow.match, common)]
        if not flows:
            del self._shapes[place][shape]
            for key in [key for key in self._projections if key[0] == place and key[1] == shape]:
                del self._projections[key]

    def _projection(self, place: _Place, shape: Shape, common: Shape) -> dict[tuple[int, ...], dict[Flow, None]]:
        key = (place, shape, common)
        index = self._projections.get(key)
        if index is None:
            index = self._projections[key] = {}
            for flow in self._shapes[place][shape]:
                index.setdefault(_project(flow.match, common), {})[flow] = None
        return index
