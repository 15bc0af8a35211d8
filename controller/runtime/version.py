"""Which release of Tunbridge this is."""

from __future__ import annotations

from importlib import metadata


def installed_version() -> str | None:
    """The version of the installed distribution, None for a source tree that is run without being installed."""
    try:
        return metadata.version("tunbridge")
    except metadata.PackageNotFoundError:
        return None
