"""Finds flows that contradict each other: same bridge, table and priority, a frame that both match, different actions.

OpenFlow leaves undefined which of two such flows wins (OpenFlow 1.3 §6.4), so a set of flows that has any is a mistake.
Comparing every pair would be quadratic. Flows of one shape (the same fields and masks) can only collide when their
values are equal; flows of two shapes only when they agree on the bits that both look at. Both are look-ups in a
dictionary.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from apps.framework.flow import Field, Flow, FlowKey, Match

Shape = tuple[tuple[Field, int], ...]
"""Fields and masks of a match, in order."""

_Place = tuple[int, int]
_Bits = tuple[tuple[int, int], ...]
"""Terms of a match, by their place in it, and what is looked at of their values."""
_Buckets = dict[tuple[int, ...], dict[FlowKey, Flow]]
"""What some bits are → the flows that have them so."""


def shape_of(match: Match) -> Shape:
    """The fields that a match looks at, with their masks."""
    return tuple([(field, field.full_mask if mask is None else mask) for field, _, mask in match.terms])


@lru_cache(maxsize=4096)  # there are few shapes, and each flow that is added asks for those of its place
def _common(one: Shape, other: Shape) -> _Bits:
    """The bits that two shapes look at, of a match that has the first one."""
    masks = dict(other)
    return tuple((at, mask & masks[field]) for at, (field, mask) in enumerate(one) if mask & masks.get(field, 0))


def _project(values: list[int], bits: _Bits) -> tuple[int, ...]:
    return tuple([values[at] & mask for at, mask in bits])


class _Kind:
    """The flows of one shape at one place.

    :param shape: of all of them
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.flows: dict[FlowKey, Flow] = {}
        self.projections: dict[_Bits, _Buckets] = {}
        """Bits that this and another shape look at → the flows by what these bits are."""
        self.others: dict[Shape, tuple[_Bits, _Buckets]] = {}
        """Another shape → the bits that both look at, of a flow of the other one, and the flows by what these are."""

    def by_common(self, other: Shape) -> tuple[_Bits, _Buckets]:
        """See :attr:`others`."""
        found = self.others.get(other)
        if found is None:
            bits = _common(self.shape, other)
            buckets = self.projections.get(bits)
            if buckets is None:
                buckets = self.projections[bits] = {}
                for flow in self.flows.values():
                    buckets.setdefault(_project(_values(flow), bits), {})[flow.key] = flow
            found = self.others[other] = _common(other, self.shape), buckets
        return found


def _values(flow: Flow) -> list[int]:
    return [value for _, value, _ in flow.match.terms]


class OverlapIndex:
    """The flows of one bridge, indexed so that a contradiction is found when a flow is added."""

    def __init__(self) -> None:
        self._places: defaultdict[_Place, dict[Shape, _Kind]] = defaultdict(dict)

    def find(self, flow: Flow) -> Flow | None:
        """A flow in the index that contradicts this one, or None.

        A flow with the same key contradicts whatever its actions are: only one of the two could be installed.
        """
        shape, values = shape_of(flow.match), _values(flow)
        for kind in self._places[flow.table, flow.priority].values():
            bits, buckets = kind.by_common(shape)
            for other in buckets.get(_project(values, bits), _NONE).values():
                if other.actions != flow.actions or other.key == flow.key:
                    return other
        return None

    def add(self, flow: Flow) -> None:
        """Put a flow in; call :meth:`find` first."""
        shape, values, key = shape_of(flow.match), _values(flow), flow.key
        kinds = self._places[flow.table, flow.priority]
        kind = kinds.get(shape)
        if kind is None:
            kind = kinds[shape] = _Kind(shape)
        kind.flows[key] = flow
        for bits, buckets in kind.projections.items():
            buckets.setdefault(_project(values, bits), {})[key] = flow

    def remove(self, flow: Flow) -> None:
        """Take a flow out that is in."""
        values, key = _values(flow), flow.key
        kind = self._places[flow.table, flow.priority][shape_of(flow.match)]
        del kind.flows[key]
        for bits, buckets in kind.projections.items():
            projected = _project(values, bits)
            del buckets[projected][key]
            if not buckets[projected]:
                del buckets[projected]


_NONE: dict[FlowKey, Flow] = {}
