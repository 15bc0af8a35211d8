"""What a list request asks for (filters, fields, order, pages), and the page of a list that it gets. Pure.

As in the API reference, "Filtering and Column Selection", "Sorting" and "Pagination", and in the extensions
filter-validation, sort-key-validation and standard-attr-tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from topology import value_types
from topology.rules.attributes.schemas import ValueKind
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest, invalid
from topology.rules.views import View

_HIGHEST = 1_000_000
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

    @property
    def by_id(self) -> bool:
        """The order is that in which objects are found."""
        return self.sort[0][0] == "id"

    @property
    def wanted(self) -> Selection:
        """What is to be looked at, in the order of the page; of a page before a marker from its end."""
        filters = dict(self.filters)
        if "tenant_id" in filters:
            filters.setdefault("project_id", filters["tenant_id"])
        return Selection(
            filters,
            self.tags.get("tags", ()),
            self.tags.get("tags-any"),
            self.marker if self.by_id else None,
            self.by_id and self.sort[0][1] is not self.reverse,
        )


def parse(pairs: Sequence[tuple[str, str]], kinds: Mapping[str, ValueKind], most: int | None = None) -> Query:
    """Read a query string.

    :param pairs: names and values in their order
    :param kinds: see :func:`topology.rules.attributes.schemas.kinds`
    :param most: objects of a page; None: any number
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
    return Query(
        filters, tags, fields, _sort(keys, directions, kinds), _limit(limit, most), marker or None, _flag(reverse)
    )


def _value(name: str, value: str, kind: ValueKind) -> Any:
    if kind is ValueKind.FIXED_IPS:
        if not re.match(FIXED_IPS_FILTER, value):
            raise BadRequest("HTTPBadRequest", f"Invalid input for operation: {value!r} is no filter of fixed_ips.")
        key, _, wanted = value.partition("=")
        return key, _canonical(value_types.ip, wanted) if key == "ip_address" else wanted
    if kind is ValueKind.BOOLEAN:
        try:
            return value_types.boolean(value)
        except ValueError as error:
            raise invalid(name, str(error)) from None
    if kind is ValueKind.INTEGER:
        return int(value) if value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20 else value
    return _canonical(_SPELLED[name], value) if name in _SPELLED else value


_SPELLED: Mapping[str, Callable[[Any], str]] = {
    "mac_address": value_types.mac,
    "cidr": value_types.cidr_of,
    "gateway_ip": value_types.ip,
}
"""Attributes whose values have several spellings → the canonical one."""


def _canonical(read: Callable[[Any], str], value: str) -> str:
    try:
        return read(value)
    except ValueError:
        return value  # nothing has it


def _sort(
    keys: Sequence[str], directions: Sequence[str], kinds: Mapping[str, ValueKind]
) -> tuple[tuple[str, bool], ...]:
    for key in keys:
        if key not in kinds or not kinds[key].is_sortable:
            raise BadRequest("HTTPBadRequest", f"'{key}' is invalid attribute for sort keys")
    if wrong := [one for one in directions if one not in DIRECTIONS]:
        raise BadRequest("HTTPBadRequest", f"'{wrong[0]}' is invalid value for sort_dir, valid are 'asc' and 'desc'")
    if directions and len(directions) != len(keys):
        raise BadRequest("HTTPBadRequest", "The number of sort_keys and sort_dirs must be same")
    found = [(key, way == "desc") for key, way in zip(keys, directions or ["asc"] * len(keys), strict=True)]
    if not any(key == "id" for key, _ in found):
        found.append(("id", False))
    return tuple(found)


def _limit(value: str | None, most: int | None) -> int | None:
    if value is None:
        return most
    if not value.isascii() or not value.isdigit():
        raise BadRequest("HTTPBadRequest", f"Limit must be an integer 0 or greater and not '{value}'")
    wanted = int(value) if len(value) <= _MAX_DIGITS else _HIGHEST
    return min(wanted, most or _HIGHEST) or most


def _flag(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")


Page = Sequence[View]
"""A part of a list, in the order of the list."""


def walked(views: Iterable[View], query: Query) -> Page:
    """The page, from the views that :attr:`Query.wanted` is answered with; no more are taken than it needs.

    :raises BadRequest: there is no object of the marker
    """
    if not query.by_id:
        return select(views, query)
    found = (view for view in views if _matches(view, query)) if query.filters or query.tags else iter(views)
    if query.marker is not None:
        marked = next(found, None)
        if marked is None or _marker(marked) != query.marker:
            raise _no_marker(query.marker)
    return _page(found, query)


def select(views: Iterable[View], query: Query) -> Page:
    """The page, from all views.

    :raises BadRequest: there is no object of the marker
    """
    found = [view for view in views if _matches(view, query)]
    for key, descending in reversed(query.sort):
        found.sort(key=lambda view, key=key: _order(view.get(key)), reverse=descending)  # type: ignore[misc]
    if query.reverse:
        found.reverse()
    rest = iter(found)
    if query.marker is not None and not any(_marker(view) == query.marker for view in rest):
        raise _no_marker(query.marker)
    return _page(rest, query)


def _page(rest: Iterator[View], query: Query) -> Page:
    """Of the views after the marker, in the order in which they were asked for."""
    page = list(islice(rest, query.limit))
    return page[::-1] if query.reverse else page


def _no_marker(marker: str) -> BadRequest:
    return BadRequest("HTTPBadRequest", f"The marker {marker} is not in what is listed")


def _marker(view: View) -> str:
    """What an object is known by in a list; a quota is known by its project."""
    return str(view["id"] if "id" in view else view["project_id"])


def _matches(view: View, query: Query) -> bool:
    for name, values in query.filters.items():
        if name == "fixed_ips":
            if not any(_is_address(fixed_ip, values) for fixed_ip in view.get("fixed_ips", ())):
                return False
        elif name == "security_groups":
            if not set(values).intersection(view.get(name, ())):
                return False
        elif view.get(name) not in values and not (view.get(name) is None and "" in values):
            return False
    if not query.tags:
        return True
    has = set(view.get("tags", ()))
    return all(TAG_FILTERS[name](set(tags), has) for name, tags in query.tags.items())


def _is_address(fixed_ip: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> bool:
    """One address must have one of the values that are asked for under each key, as in Neutron."""
    alike: dict[str, bool] = {}
    for key, wanted in pairs:
        found = wanted in fixed_ip["ip_address"] if key == "ip_address_substr" else fixed_ip[key] == wanted
        alike[key] = alike.get(key, False) or found
    return all(alike.values())


def _order(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)


def chosen(view: View, fields: frozenset[str]) -> View:
    """Only the fields that were asked for; all when none was."""
    return {name: value for name, value in view.items() if name in fields} if fields else view


def links(pairs: Sequence[tuple[str, str]], url: str, query: Query, page: Page) -> Iterator[dict[str, str]]:
    """``next`` and ``previous`` of a page, as Neutron has them; none without a limit.

    A page that is full has both, another one the way back only: so the last link of each way leads to a page that is
    not full, and may be empty.
    """
    if query.limit is None:
        return
    same = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    is_full = len(page) >= query.limit
    if is_full or query.reverse:
        yield {"rel": "next", "href": f"{url}?{urlencode([*same, *_markers(page[-1:])])}"}
    if is_full or not query.reverse:
        back = [*same, *_markers(page[:1]), ("page_reverse", "True")]
        yield {"rel": "previous", "href": f"{url}?{urlencode(back)}"}


def _markers(views: Page) -> list[tuple[str, str]]:
    return [("marker", _marker(view)) for view in views]
