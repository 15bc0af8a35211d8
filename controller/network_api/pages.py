"""The page of a list that a query asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from controller.network_api.query import TAG_FILTERS, Query
from topology.rules.request_errors import BadRequest
from topology.rules.views import View


@dataclass(frozen=True)
class ListPage:
    """A part of a list.

    :param more: there are objects after these
    :param before: there are objects before these
    """

    views: Sequence[View]
    more: bool
    before: bool


def walked(views: Iterable[View], query: Query) -> ListPage:
    """The page, from the views that :attr:`Query.wanted` is answered with; no more are taken than it needs.

    :raises BadRequest: there is no object of the marker
    """
    if not query.by_id:
        return select(views, query)
    found = (view for view in views if _matches(view, query))
    if query.marker is not None:
        marked = next(found, None)
        if marked is None or _marker(marked) != query.marker:
            raise _no_marker(query.marker)
    page = list(islice(found, query.limit and query.limit + 1))
    further = query.limit is not None and len(page) > query.limit
    if further:
        page.pop()
    known = query.marker is not None
    return ListPage(page[::-1], known, further) if query.reverse else ListPage(page, further, known)


def select(views: Iterable[View], query: Query) -> ListPage:
    """The page, from all views.

    :raises BadRequest: there is no object of the marker
    """
    found = [view for view in views if _matches(view, query)]
    for key, descending in reversed(query.sort):
        found.sort(key=lambda view, key=key: _order(view.get(key)), reverse=descending)  # type: ignore[misc]
    place = None
    if query.marker is not None:
        place = next((at for at, view in enumerate(found) if _marker(view) == query.marker), None)
        if place is None:
            raise _no_marker(query.marker)
    first, last = 0, len(found)
    if query.reverse:
        last = len(found) if place is None else place
        first = max(0, last - query.limit) if query.limit else 0
    else:
        first = 0 if place is None else place + 1
        last = min(len(found), first + query.limit) if query.limit else len(found)
    return ListPage(found[first:last], last < len(found), first > 0)


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


def links(pairs: Sequence[tuple[str, str]], url: str, query: Query, page: ListPage) -> Iterator[dict[str, str]]:
    """``next`` and ``previous`` of a page; none without a limit."""
    if query.limit is None or not page.views:
        return
    same = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    if page.more:
        yield {"rel": "next", "href": f"{url}?{urlencode([*same, ('marker', _marker(page.views[-1]))])}"}
    if page.before:
        back = [*same, ("marker", _marker(page.views[0])), ("page_reverse", "True")]
        yield {"rel": "previous", "href": f"{url}?{urlencode(back)}"}
