"""Views that are not changed any more, with what was made of them: their JSON, and the views that some callers see.

A list of 10,000 objects then costs what has changed since the one before, and a look at each. Nothing outlives its
view: an object that changes has another one (:meth:`topology.rules.index.Index.put`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any

_to_json = json.JSONEncoder(ensure_ascii=False).encode


class CachedView(dict[str, Any]):
    """A view. Threads may share it: what two of them make at once is the same."""

    __slots__ = ("_derived", "_json")

    def __init__(self, view: Mapping[str, Any]) -> None:
        super().__init__(view)
        self._json: bytes | None = None
        self._derived: dict[str, tuple[Hashable, CachedView]] | None = None

    @property
    def json(self) -> bytes:
        """As JSON, in UTF-8."""
        if self._json is None:
            self._json = encoded(self)
        return self._json

    def derived(self, what: str, key: Hashable, make: Callable[[], Mapping[str, Any]]) -> CachedView:
        """Another view that is made of this one; the last of each ``what`` is kept.

        :param key: on what it depends beside this view
        :param make: makes it
        """
        known = None if self._derived is None else self._derived.get(what)
        if known is None or known[0] != key:
            known = key, CachedView(make())
            self._derived = {**(self._derived or {}), what: known}
        return known[1]


def derived(
    view: Mapping[str, Any], what: str, key: Hashable, make: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The same of any view: of one that is not kept it is made each time."""
    return view.derived(what, key, make) if isinstance(view, CachedView) else make()


def without(view: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    """A view less some attributes."""
    if not names:
        return view
    return derived(view, "without", names, lambda: {name: value for name, value in view.items() if name not in names})


def encoded(value: Any) -> bytes:
    """Any value as JSON, in UTF-8 and with a space behind each comma and colon, as falcon has it."""
    return _to_json(value).encode()


def json_of(view: Mapping[str, Any]) -> bytes:
    """The same of a view; one that is kept has it already."""
    return view.json if isinstance(view, CachedView) else encoded(view)
