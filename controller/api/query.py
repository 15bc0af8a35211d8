"""What a list request asks for: filters, fields, order and pages. Pure.

As in the API reference, "Filtering and Column Selection", "Sorting" and "Pagination", and in the extensions
filter-validation, sort-key-validation and standard-attr-tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from topology.model import canonical_ip, canonical_mac
from topology.resources import checks
from topology.resources.errors import BadRequest, invalid
from topology.resources.schemas import Kind
from topology.resources.views import View

MAX_LIMIT = 1_000_000
_MAX_DIGITS = 20

_PAGING = ("limit", "marker", "page_reverse")
TAG_FILTERS: Mapping[str, Callable[[set[str], set[str]], bool]] = {
    "tags": lambda wanted, has: wanted <= has,
    "tags-any": lambda wanted, has: bool(wanted & has),
    "not-tags": lambda wanted, has: not wanted <= has,
    "not-tags-any": lambda wanted, has: not wanted & has,
}
DIRECTIONS = ("asc", "desc")
FIXED_IPS_FILTER = "^(ip_address|subnet_id|ip_address_substr)="


@dataclass(frozen=True)
class Query:
    """One list request.

    :param filters: attribute → the values of which it must have one
    :param tags: name of a tag filter → tags
    :param sort: attribute and whether it descends
    """

    filters: Mapping[str, tuple[Any, ...]]
    tags: Mapping[str, frozenset[str]]
    fields: frozenset[str]
    sort: tuple[tuple[str, bool], ...]
    limit: int | None
    marker: str | None
    reverse: bool


def parse(pairs: Sequence[tuple[str, str]], kinds: Mapping[str, Kind]) -> Query:
    """Read a query string.

    :param pairs: names and values in their order
    :param kinds: see :func:`topology.resources.schemas.kinds`
    :raises BadRequest: a name or a value cannot be used
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    fields = frozenset(field for value in given.pop("fields", []) for field in value.split(","))
    keys, directions = given.pop("sort_key", []), given.pop("sort_dir", [])
    limit, marker, reverse = (given.pop(name, [None])[-1] for name in _PAGING)
    tags = {name: frozenset(",".join(given.pop(name)).split(",")) for name in TAG_FILTERS if name in given}
    if unknown := sorted(name for name in given if name not in kinds):
        raise BadRequest("HTTPBadRequest", f"{unknown} is invalid attribute for filtering")
    filters = {name: tuple(_value(name, value, kinds[name]) for value in values) for name, values in given.items()}
    return Query(filters, tags, fields, _sort(keys, directions, kinds), _limit(limit), marker or None, _flag(reverse))


def _value(name: str, value: str, kind: Kind) -> Any:
    if kind is Kind.FIXED_IPS:
        if not re.match(FIXED_IPS_FILTER, value):
            raise BadRequest("HTTPBadRequest", f"Invalid input for operation: {value!r} is no filter of fixed_ips.")
        key, _, wanted = value.partition("=")
        return key, _canonical(canonical_ip, wanted) if key == "ip_address" else wanted
    if kind is Kind.BOOLEAN:
        try:
            return checks.boolean(value)
        except ValueError as error:
            raise invalid(name, str(error)) from None
    if kind is Kind.INTEGER:
        return int(value) if value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20 else value
    return _canonical(canonical_mac, value) if name == "mac_address" else value


def _canonical(check: Callable[[str, str], str], value: str) -> str:
    try:
        return check(value, "")
    except ValueError:
        return value  # nothing has it


def _sort(keys: Sequence[str], directions: Sequence[str], kinds: Mapping[str, Kind]) -> tuple[tuple[str, bool], ...]:
    for key in keys:
        if kinds.get(key, Kind.FIXED_IPS) is Kind.FIXED_IPS:
            raise BadRequest("HTTPBadRequest", f"'{key}' is invalid attribute for sort keys")
    if wrong := [one for one in directions if one not in DIRECTIONS]:
        raise BadRequest("HTTPBadRequest", f"'{wrong[0]}' is invalid value for sort_dir, valid are 'asc' and 'desc'")
    if directions and len(directions) != len(keys):
        raise BadRequest("HTTPBadRequest", "The number of sort_keys and sort_dirs must be same")
    found = [(key, way == "desc") for key, way in zip(keys, directions or ["asc"] * len(keys), strict=True)]
    if not any(key == "id" for key, _ in found):
        found.append(("id", False))
    return tuple(found)


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit():
        raise BadRequest("HTTPBadRequest", f"Limit must be an integer 0 or greater and not '{value}'")
    return min(int(value) if len(value) <= _MAX_DIGITS else MAX_LIMIT, MAX_LIMIT) or None


def _flag(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")


def select(views: Iterable[View], query: Query) -> tuple[list[View], bool, bool]:
    """The page that was asked for.

    :returns: the objects, whether more follow, and whether there are some before
    :raises BadRequest: there is no object of the marker
    """
    found = [view for view in views if _matches(view, query)]
    for key, descending in reversed(query.sort):
        found.sort(key=lambda view, key=key: _order(view.get(key)), reverse=descending)  # type: ignore[misc]
    place = None
    if query.marker is not None:
        place = next((at for at, view in enumerate(found) if _marker(view) == query.marker), None)
        if place is None:
            raise BadRequest("HTTPBadRequest", f"The marker {query.marker} is not in what is listed")
    first, last = 0, len(found)
    if query.reverse:
        last = len(found) if place is None else place
        first = max(0, last - query.limit) if query.limit else 0
    else:
        first = 0 if place is None else place + 1
        last = min(len(found), first + query.limit) if query.limit else len(found)
    return found[first:last], last < len(found), first > 0


def _marker(view: View) -> str:
    """What an object is known by in a list; a quota is known by its project."""
    return str(view["id"] if "id" in view else view["project_id"])


def _matches(view: View, query: Query) -> bool:
    for name, values in query.filters.items():
        if name == "fixed_ips":
            if not any(_has_address(view.get("fixed_ips", ()), key, wanted) for key, wanted in values):
                return False
        elif view.get(name) not in values and not (view.get(name) is None and "" in values):
            return False
    has = set(view.get("tags", ()))
    return all(TAG_FILTERS[name](set(tags), has) for name, tags in query.tags.items())


def _has_address(fixed_ips: Iterable[Mapping[str, str]], key: str, wanted: str) -> bool:
    if key == "ip_address_substr":
        return any(wanted in fixed_ip["ip_address"] for fixed_ip in fixed_ips)
    return any(fixed_ip[key] == wanted for fixed_ip in fixed_ips)


def _order(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)


def chosen(view: View, fields: frozenset[str]) -> View:
    """Only the fields that were asked for; all when none was."""
    return {name: value for name, value in view.items() if name in fields} if fields else view


def links(
    pairs: Sequence[tuple[str, str]], url: str, query: Query, page: Sequence[View], more: bool, before: bool
) -> list[dict[str, str]]:
    """``next`` and ``previous`` of a page; none without a limit."""
    if query.limit is None or not page:
        return []
    kept = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    found = []
    if more:
        found.append({"rel": "next", "href": f"{url}?{urlencode([*kept, ('marker', _marker(page[-1]))])}"})
    if before:
        back = [*kept, ("marker", _marker(page[0])), ("page_reverse", "True")]
        found.append({"rel": "previous", "href": f"{url}?{urlencode(back)}"})
    return found
