"""Loads an os-ken application from its module, as osken-manager does, with the contexts and services that it needs.

But not os-ken's own handler of OpenFlow connections: :mod:`controller.openflow.channel` stands in its place.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

from os_ken.base.app_manager import SERVICE_BRICKS, AppManager, OSKenApp
from os_ken.controller.handler import get_dependent_services
from os_ken.ofproto import ofproto_v1_3

from controller.os_ken_apps.foreign_app import ForeignApp
from topology.errors import TunbridgeError

_OURS = "os_ken.controller.ofp_handler"


class AppLoadError(TunbridgeError):
    """An application cannot be loaded."""


def load(app: ForeignApp) -> None:
    """Import the module of an application and make what it needs: its ``instances``, not started.

    :raises AppLoadError: it cannot be; nothing of it is left
    """
    made: list[Any] = []
    try:
        _load(app.module, made, {})
    except AppLoadError:
        unload(made)
        raise
    except (Exception, SystemExit) as error:
        unload(made)
        raise AppLoadError(f"loading it raised {type(error).__name__}: {error}") from error
    app.instances = made
    AppManager.get_instance()._update_bricks()  # who observes whom


def unload(instances: list[Any]) -> None:
    """Have os-ken forget applications."""
    manager = AppManager.get_instance()
    for one in instances:
        manager.applications.pop(one.name, None)
        SERVICE_BRICKS.pop(one.name, None)
    for brick in SERVICE_BRICKS.values():
        for one in instances:
            brick.unregister_observer_all_event(one.name)


def _load(name: str, made: list[Any], contexts: dict[str, Any]) -> None:
    module = _imported(name)
    found = inspect.getmembers(
        module, lambda one: inspect.isclass(one) and issubclass(one, OSKenApp) and one.__module__ == module.__name__
    )
    if not found:
        raise AppLoadError(f"{name} has no os_ken.base.app_manager.OSKenApp")
    _, cls = found[0]
    for key, context in cls.context_iteritems():
        if key not in contexts:
            contexts[key] = _made(context, made) if issubclass(context, OSKenApp) else context()
    there = {type(one).__module__ for one in made} | {_OURS}
    for service in get_dependent_services(cls):
        if service not in there and service != name:
            _load(service, made, contexts)
    _made(cls, made, **contexts)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise AppLoadError(f"there is no module {error.name}") from None
        raise


def _made(cls: Any, made: list[Any], **contexts: Any) -> Any:
    if cls.OFP_VERSIONS is not None and ofproto_v1_3.OFP_VERSION not in cls.OFP_VERSIONS:
        raise AppLoadError(f"{cls.__name__} does not speak OpenFlow 1.3 (OFP_VERSIONS)")
    one = AppManager.get_instance()._instantiate(None, _checked(cls), **contexts)
    made.append(one)
    return one


def _checked(cls: Any) -> Any:
    """The class, of which no other application has the name: by names os-ken tells them apart."""
    if cls.__name__ in SERVICE_BRICKS:
        raise AppLoadError(f"another application is called {cls.__name__} too")
    return cls
