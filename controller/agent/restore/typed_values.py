"""Frozen values from JSON that anybody may have written: what is declared as text is text, to the last field.

A value of another type would be taken, and would end the process when it is first used as what it should be.
"""

from __future__ import annotations

import types
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def typed(kind: type[T], values: dict[str, Any]) -> T:
    """Make a value of a dataclass, whose fields are plain types, enumerations, and tuples and unions of such.

    :raises TypeError: a field has a value of another type than it declares, is missing, or is unknown
    :raises ValueError: the dataclass refuses a value
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"{kind.__name__}.{name} is of type {type(value).__name__}")
    return kind(**values)


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(one, arguments[0]) for one in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    return isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)
