"""Whose a flow is, by its cookie, and what it is for, by its place in the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from apps.framework.app import App
from apps.framework.cookie import app_number, cookie, is_ours
from apps.framework.pipeline import Band, BridgeRole, Place

OBJECT = (1 << 40) - 1
"""Bits of a cookie that say of which object a flow is."""


class FlowOwners:
    """Knows the objects that flows can be of.

    :param objects: kind (``port``, ``network``, ``device``, ``physical network``) → their ids
    """

    def __init__(self, objects: Mapping[str, Iterable[str]], apps: Sequence[App]) -> None:
        self._apps = {app.number: app.name for app in apps}
        self._bands: dict[Place, Band] = {band.place: band for app in apps for band in app.bands}
        self._objects = {cookie(1, name) & OBJECT: (kind, name) for kind, names in objects.items() for name in names}

    def band(self, role: BridgeRole, table: int, priority: int, cookie: int) -> Band | None:
        """The band that a flow is in; None: it is of others, or there is none."""
        return self._bands.get((role, table, priority)) if is_ours(cookie) else None

    def of(self, cookie: int) -> tuple[str, str] | None:
        """Kind and id of the object that a flow serves; None: it is of others, or of a bridge, or not known."""
        return self._objects.get(cookie & OBJECT) if is_ours(cookie) else None

    def application(self, cookie: int) -> str | None:
        """Name of the application that has made a flow."""
        return self._apps.get(app_number(cookie) or 0)
