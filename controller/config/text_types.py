"""What text of the configuration file may be, paths above all: as :mod:`controller.config.option_types`, and quickly
loaded, for commands that need no more than a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable

UNIX_PATH_MAX = 107
"""Bytes of a unix socket's path on Linux (unix(7), ``sun_path`` without its NUL)."""


def text_of_form(pattern: str, expected: str) -> Callable[[str], str]:
    """Printable text of a form."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value) or not value.isprintable():
            raise ValueError(f"expected {expected}")
        return value

    return parse


absolute_path = text_of_form("/.*", "an absolute path, such as /var/lib/tunbridge")
"""A path that does not depend on the working directory."""


def socket_directory(value: str) -> str:
    """A directory for unix sockets: their path must fit :data:`UNIX_PATH_MAX`."""
    limit = UNIX_PATH_MAX - len("/topology.sock")
    path = absolute_path(value)
    if len(path.encode()) > limit:
        raise ValueError(f"expected a path of at most {limit} bytes, since sockets are made in it")
    return path
