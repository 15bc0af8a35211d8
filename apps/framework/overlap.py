"""Finds flows that contradict each other: same bridge, table and priority, a frame that both match, different actions.

OpenFlow leaves undefined which of two such flows wins (OpenFlow 1.3 §6.4), so a set of flows that has any is a mistake.
Comparing every pair would be quadratic. Flows of one shape (the same fields and masks) can only collide when their
values are equal; flows of two shapes only when they agree on the bits that both look at. Both are look-ups in a
dictionary.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from apps.framework.flow import Field, Flow, Match

Shape = tuple[tuple[Field, int], ...]
"""Fields and masks of a match, in order."""

_Place = tuple[int, int]
_Buckets = dict[tuple[int, ...], dict[Flow, None]]
"""What some bits are → the flows that have them so."""


def shape_of(match: Match) -> Shape:
    """The fields that a match looks at, with their masks."""
    return tuple((term.field, term.effective_mask) for term in match.terms)


@lru_cache(maxsize=4096)  # there are few shapes, and each flow that is added asks for those of its place
def _common(one: Shape, other: Shape) -> Shape:
    masks = dict(other)
    return tuple((field, mask & masks[field]) for field, mask in one if mask & masks.get(field, 0))


def _values(match: Match) -> dict[Field, int]:
    return {term.field: term.value for term in match.terms}


def _project(values: dict[Field, int], bits: Shape) -> tuple[int, ...]:
    return tuple([values[field] & mask for field, mask in bits])


class OverlapIndex:
    """The flows of one bridge, indexed so that a contradiction is found when a flow is added."""

    def __init__(self) -> None:
        self._shapes: defaultdict[_Place, dict[Shape, dict[Flow, None]]] = defaultdict(dict)
        self._projections: dict[tuple[_Place, Shape], dict[Shape, _Buckets]] = {}

    def find(self, flow: Flow) -> Flow | None:
        """A flow in the index that contradicts this one, or None.

        A flow with the same key contradicts whatever its actions are: only one of the two could be installed.
        """
        place, shape, values = (flow.table, flow.priority), shape_of(flow.match), _values(flow.match)
        for other_shape in self._shapes[place]:
            common = _common(shape, other_shape)
            index = self._projection(place, other_shape, common)
            for other in index.get(_project(values, common), ()):
                if other.actions != flow.actions or other.key == flow.key:
                    return other
        return None

    def add(self, flow: Flow) -> None:
        """Put a flow in; call :meth:`find` first."""
        place, shape, values = (flow.table, flow.priority), shape_of(flow.match), _values(flow.match)
        self._shapes[place].setdefault(shape, {})[flow] = None
        for bits, index in self._projections.get((place, shape), {}).items():
            index.setdefault(_project(values, bits), {})[flow] = None

    def remove(self, flow: Flow) -> None:
        """Take a flow out that is in."""
        place, shape, values = (flow.table, flow.priority), shape_of(flow.match), _values(flow.match)
        del self._shapes[place][shape][flow]
        for bits, index in self._projections.get((place, shape), {}).items():
            projected = _project(values, bits)
            del index[projected][flow]
            if not index[projected]:
                del index[projected]

    def _projection(self, place: _Place, shape: Shape, common: Shape) -> _Buckets:
        projections = self._projections.setdefault((place, shape), {})
        index = projections.get(common)
        if index is None:
            index = projections[common] = {}
            for flow in self._shapes[place][shape]:
                index.setdefault(_project(_values(flow.match), common), {})[flow] = None
        return index
