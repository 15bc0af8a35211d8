"""Maps that share what did not change: what differs between two of them, and indexes that follow them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from immutables import Map

_Value = TypeVar("_Value")
_Key = TypeVar("_Key")

Index = Map[Hashable, Map[Any, None]]
"""Group → keys of what belongs to it, as a set."""


def differing_keys(old: Mapping[_Key, object], new: Mapping[_Key, object]) -> frozenset[_Key]:
    """Keys that one of two maps has alone, or that have another value in the other."""
    if old is new:
        return frozenset()
    # Values that did not change are mostly the same objects, which is far quicker to see than that they are equal.
    keys = {*old, *new}
    return frozenset(key for key in keys if old.get(key) is not new.get(key) and old.get(key) != new.get(key))


def updated(old: Map[_Key, _Value], changes: Mapping[_Key, _Value | None]) -> tuple[Map[_Key, _Value], frozenset[_Key]]:
    """A map after changes, None being a key that goes, and the keys that differ then."""
    differing = frozenset(key for key, value in changes.items() if value != old.get(key))
    if not differing:
        return old, differing
    mutation = old.mutate()
    for key in differing:
        value = changes[key]
        if value is None:
            del mutation[key]
        else:
            mutation[key] = value
    return mutation.finish(), differing


def indexed(
    index: Index,
    keys: Iterable[_Key],
    old: Map[_Key, _Value],
    new: Map[_Key, _Value],
    groups_of: Callable[[_Key, _Value], Iterable[Hashable]],
) -> Index:
    """The index of what belongs to some groups, after some keys have come, gone or changed their groups.

    :param groups_of: the groups of a key and its value
    """
    mutation = index.mutate()
    for key in keys:
        was, now = (groups_of(key, values[key]) if key in values else () for values in (old, new))
        if was == now:
            continue
        for group in was:
            left = mutation[group].delete(key)
            if left:
                mutation[group] = left
            else:
                del mutation[group]
        for group in now:
            mutation[group] = mutation.get(group, Map()).set(key, None)
    return mutation.finish()


def members(index: Index, groups: Iterable[Hashable]) -> set[str]:
    """Keys of all that belong to some groups."""
    return {key for group in groups for key in index.get(group, ())}
