"""os-ken's packet library, loaded when something of it is first used.

os-ken's OpenFlow parsers import it, for two methods that turn a packet-out into JSON and back, and with it come BGP,
OSPF and thirty others: 8 MB, and a tenth of a second of each start. Only applications of other people use it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PARENT, _PACKAGE, _LIBRARY = "os_ken.lib", "os_ken.lib.packet", "os_ken.lib.packet.packet"


class _Package(ModuleType):
    """The package without what its ``__init__`` imports: each module is there once it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            try:
                return importlib.import_module(f"{_PACKAGE}.{name}")
            except ModuleNotFoundError:
                pass
        raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")


class _Library(ModuleType):
    """The module that all others come with. (:class:`importlib.util.LazyLoader` loads at any look, as os-ken takes at
    all names of a parser.)"""

    _is_loaded = False

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and not self._is_loaded:
            self._is_loaded = True
            assert self.__spec__ is not None and self.__spec__.loader is not None
            self.__spec__.loader.exec_module(self)
            return getattr(self, name)
        raise AttributeError(f"module {_LIBRARY!r} has no attribute {name!r}")


def defer() -> None:
    """Have it loaded by the first use of it and not by its import; to be called before os-ken's parsers are imported.

    Where it is loaded already nothing happens.
    """
    if _PACKAGE in sys.modules:
        return
    package = _Package(_PACKAGE)
    _register(package, importlib.import_module(_PARENT))
    _register(_Library(_LIBRARY), package)


def load() -> None:
    """Load it now: an application of other people is there, whose first frame is not to wait for that."""
    from os_ken.lib.packet import packet

    packet.Packet  # noqa: B018  # the first use


def _register(module: ModuleType, parent: ModuleType) -> None:
    """Have a module imported in the place of the one of its name, which stays where it is found."""
    spec = importlib.util.find_spec(module.__name__)
    assert spec is not None
    module.__spec__, module.__loader__, module.__package__, module.__file__ = (
        spec, spec.loader, spec.parent, spec.origin,
    )  # fmt: skip
    if spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[module.__name__] = module
    setattr(parent, module.__name__.rpartition(".")[2], module)
