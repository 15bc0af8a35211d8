"""Whether this process may have green threads: eventlet is loaded by who serves with them, and by nobody else.

python-ovs imports it wherever it is installed, to ask whether it is in use: a seventh of the start of a command that
asks a database. Standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVENTLET = "eventlet"


@contextmanager
def away() -> Iterator[None]:
    """Meanwhile an import of eventlet finds nothing, until :func:`may_come`; where it is loaded it stays."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault(_EVENTLET, None)  # ModuleNotFoundError to who imports it (Python reference, 5.3.1)
    try:
        yield
    finally:
        may_come()


def may_come() -> None:
    """Have an import find it again."""
    if _EVENTLET in sys.modules and sys.modules[_EVENTLET] is None:
        del sys.modules[_EVENTLET]
