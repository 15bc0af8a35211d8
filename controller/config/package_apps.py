"""Applications of the pipeline that come from other packages: found by their entry points, checked, and named.

An installed package alone changes nothing: only what ``[DEFAULT] pipeline_apps`` names is loaded. What cannot be
loaded, or clashes with what is there, is left out with the reason, and all else is served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from apps.framework.app import App
from apps.framework.pipeline import Pipeline

GROUP = "tunbridge.applications"
"""Of the entry points; the name of each is what ``[DEFAULT] pipeline_apps`` has."""

NUMBERS = range(128, 256)
"""In cookies, of applications of others; smaller ones are Tunbridge's."""


@dataclass(frozen=True)
class PackageApps:
    """What there is.

    :param apps: ours, and those of others after them
    :param problems: why others are left out
    """

    apps: tuple[App, ...]
    problems: tuple[str, ...] = ()


def with_packages(own: Sequence[App], names: Sequence[str], check: Callable[[Sequence[App]], object]) -> PackageApps:
    """Load applications of other packages.

    :param names: of entry points
    :param check: raises :class:`ValueError` where applications do not go together, in what concerns the configuration
    """
    apps, problems = list(own), []
    for name in names:
        found = [one for one in entry_points(group=GROUP) if one.name == name]
        packages = sorted({_package(one) for one in found})
        if len(packages) != 1:
            what = f"packages {' and '.join(packages)} have" if packages else "no installed package has"
            problems.append(f"application {name} is left out: {what} an entry point {name} in the group {GROUP}")
            continue
        try:
            app = _loaded(found[0])
            app.package = packages[0]
            if app.number not in NUMBERS:
                raise ValueError(f"its number {app.number} is not one of {NUMBERS[0]} to {NUMBERS[-1]}")
            Pipeline([*apps, app])
            check([*apps, app])
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            problems.append(f"application {name} of package {packages[0]} is left out: {reason}")
        else:
            apps.append(app)
    return PackageApps(tuple(apps), tuple(problems))


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "without a name"


def _loaded(entry: EntryPoint) -> App:
    """The application of an entry point: an object, or a class without parameters.

    :raises Exception: whatever its module raises
    """
    found = entry.load()
    app = found() if isinstance(found, type) else found
    if not isinstance(app, App):
        raise ValueError(f"{entry.value} is no apps.framework.app.App")
    for what in ("name", "number", "bands"):
        if not hasattr(app, what):
            raise ValueError(f"{entry.value} has no {what}")
    return app
