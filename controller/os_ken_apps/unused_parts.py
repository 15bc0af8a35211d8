"""The parts of os-ken that only applications of other people use: loaded when something of them is first asked for.

os-ken's own modules import all of them: its packet library, for two methods that turn a packet-out into JSON and back,
and with it BGP, OSPF and thirty others; and its parsers of OpenFlow 1.0, 1.2, 1.4 and 1.5, to have an event for each of
their messages. Together these are 12 MB, and a sixth of a second of each start.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

_PACKETS = "os_ken.lib.packet"
_LIBRARY = f"{_PACKETS}.packet"
"""The module of the packet library that all others come with."""

_OFPROTO = "os_ken.ofproto"
_PARSERS = tuple(f"{_OFPROTO}.ofproto_v1_{version}_parser" for version in (0, 2, 4, 5))


_LOADING = threading.RLock()


class _Package(ModuleType):
    """The packet library without what its ``__init__`` imports: each module is there once it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            try:
                return importlib.import_module(f"{self.__name__}.{name}")
            except ModuleNotFoundError:
                pass
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Module(ModuleType):
    """A module that loads itself when a name is asked for. (:class:`importlib.util.LazyLoader` does so at any look, and
    os-ken looks at all that a parser has.)"""

    _is_loaded = False

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._load()
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def _load(self) -> None:
        with _LOADING:  # another thread may do it; the same one asks again, for what is not there yet
            if self._is_loaded:
                return
            self._is_loaded = True
            assert self.__spec__ is not None and self.__spec__.loader is not None
            self.__spec__.loader.exec_module(self)


def defer() -> None:
    """Have them loaded by their first use and not by their import; for a host without such applications.

    To be called before anything imports os-ken's parsers; where something has, nothing happens.
    """
    if _PACKETS in sys.modules or _OFPROTO in sys.modules:
        return
    deferred = [_Package(_PACKETS), _Module(_LIBRARY), *map(_Module, _PARSERS)]
    for module in deferred:  # all, before a package is imported that imports them
        _register(module)
    for module in deferred:
        parent, _, name = module.__name__.rpartition(".")
        setattr(importlib.import_module(parent), name, module)


def _register(module: ModuleType) -> None:
    """Have a module imported in the place of the one of its name, which stays where it is found."""
    folders = importlib.import_module("os_ken").__path__
    *packages, _ = module.__name__.split(".")[1:]
    spec = PathFinder.find_spec(module.__name__, [os.path.join(folder, *packages) for folder in folders])
    assert spec is not None
    module.__spec__, module.__loader__, module.__package__, module.__file__ = (
        spec, spec.loader, spec.parent, spec.origin,
    )  # fmt: skip
    if spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[module.__name__] = module
