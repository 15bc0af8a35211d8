"""The views of one kind of object, found by what is asked for and in the order of their ids.

A list looks at those views only that can be on the page that is asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from topology.rules.cached_views import CachedView
from topology.rules.views import View

_FEW = 32
"""New ids that are put into their places one by one; more are sorted together with the others."""


@dataclass(frozen=True)
class Selection:
    """What a list asks for, as far as an index can tell.

    :param filters: attribute → the values of which an object must have one; of ``fixed_ips`` pairs such as
        ``("ip_address", "10.0.0.1")``
    :param tags: an object must have all of them
    :param any_tags: an object must have one of them; None: none is asked for
    :param start: id to begin with, whether there is such an object or not; None: the first one
    :param descending: from the last id to the first
    """

    filters: Mapping[str, Iterable[Any]] = field(default_factory=dict)
    tags: Collection[str] = ()
    any_tags: Collection[str] | None = None
    start: str | None = None
    descending: bool = False


class Index:
    """The views of one kind.

    :param attributes: those by which views are found without a look at the others
    """

    def __init__(self, attributes: Collection[str]) -> None:
        self._attributes = attributes
        self._views: dict[str, CachedView] = {}
        self._found: dict[tuple[str, Any], set[str]] = {}
        self._ids: list[str] = []
        self._new: list[str] = []

    def __len__(self) -> int:
        return len(self._views)

    def get(self, object_id: str) -> View | None:
        """One view; None: there is none."""
        return self._views.get(object_id)

    def put(self, object_id: str, view: View) -> None:
        """A view is there now; there must be none of this id."""
        self._views[object_id] = CachedView(view)
        self._new.append(object_id)
        for key in self._keys(view):
            self._found.setdefault(key, set()).add(object_id)

    def remove(self, object_id: str) -> None:
        """A view is there no more."""
        view = self._views.pop(object_id)
        ids = self._ordered()
        del ids[bisect_left(ids, object_id)]
        for key in set(self._keys(view)):  # a port may have two addresses of one subnet
            members = self._found[key]
            members.discard(object_id)
            if not members:
                del self._found[key]

    def found(self, attribute: str, value: Any) -> Collection[str]:
        """Ids of the objects that have a value; an empty one is that of those that have none too."""
        members: Collection[str] = self._found.get((attribute, value), ())
        none = self._found.get((attribute, None), ()) if value == "" else ()
        return {*members, *none} if none else members

    def walk(self, wanted: Selection, reach: Sequence[Collection[str]] | None = None) -> Iterator[View]:
        """The views that can be wanted, by id; all of them have yet to be looked at. Ends with the next change.

        :param reach: ids of the only objects that matter, one of which may be there more than once; None: all do
        """
        ways = list(self._ways(wanted))
        if reach is not None:
            ways.append(list(reach))
        shortest = min(ways, key=_length, default=None)
        if shortest is None or 2 * _length(shortest) > len(self._views):  # nearly all: there are no fewer to sort
            ids: Sequence[str] = self._ordered()
        else:
            ids = sorted(set().union(*shortest))
        first, last = 0, len(ids)
        if wanted.start is not None and wanted.descending:
            last = bisect_right(ids, wanted.start)
        elif wanted.start is not None:
            first = bisect_left(ids, wanted.start)
        places = range(last - 1, first - 1, -1) if wanted.descending else range(first, last)
        return (self._views[ids[place]] for place in places)

    def _ways(self, wanted: Selection) -> Iterator[list[Collection[str]]]:
        """Ways to find what is wanted: each is the ids to look at, in parts."""
        for name, values in wanted.filters.items():
            if name == "id":
                yield [[str(value)] for value in values if str(value) in self._views]
            elif name in self._attributes:
                yield [self.found(name, value) for value in values]
            elif name == "security_groups":
                yield [self._found.get((name, value), ()) for value in values]
            elif name == "fixed_ips":
                pairs = list(values)
                for key in _OF_FIXED_IPS & {key for key, _ in pairs}:
                    yield [self.found(name, pair) for pair in pairs if pair[0] == key]
        for tag in wanted.tags:
            yield [self.found("tags", tag)]
        if wanted.any_tags is not None:
            yield [self.found("tags", tag) for tag in wanted.any_tags]

    def _keys(self, view: View) -> Iterator[tuple[str, Any]]:
        for name in self._attributes:
            yield name, view[name]
        for tag in view.get("tags", ()):
            yield "tags", tag
        for group in view.get("security_groups", ()):
            yield "security_groups", group
        for fixed_ip in view.get("fixed_ips", ()):
            for key in _OF_FIXED_IPS:
                yield "fixed_ips", (key, fixed_ip[key])

    def _ordered(self) -> list[str]:
        """All ids, sorted."""
        if len(self._new) > _FEW:
            self._ids.extend(self._new)
            self._ids.sort()
        else:
            for object_id in self._new:
                insort(self._ids, object_id)
        self._new.clear()
        return self._ids


_OF_FIXED_IPS = {"ip_address", "subnet_id"}


def _length(parts: Sequence[Collection[str]]) -> int:
    return sum(len(part) for part in parts)
