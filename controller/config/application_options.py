"""Options that applications declare, as options of the configuration file.

An application may know nothing of a configuration, so its declarations are plain data (:mod:`apps.framework.options`).
They are read, shown and written down with all others; the values are handed on by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from immutables import Map

from apps.framework.app import App
from apps.framework.options import AppOption, OptionValue
from controller.config import option_types as kinds
from controller.config.declaration import Declaration


def application_options(applications: Iterable[App]) -> Mapping[str, Mapping[str, Declaration]]:
    """What applications declare: group → name → option.

    :raises ValueError: two of them declare one option
    """
    found: dict[str, dict[str, Declaration]] = {}
    for application in applications:
        for option in application.options:
            group = found.setdefault(option.group, {})
            if option.name in group:
                raise ValueError(f"two applications declare [{option.group}] {option.name}")
            group[option.name] = _declaration(option)
    return found


def chosen(applications: Iterable[App], values: Mapping[str, Mapping[str, OptionValue]]) -> Map[str, OptionValue]:
    """The values of all options of applications, as a view of the host takes them.

    :param values: group → name → value
    """
    options = (option for application in applications for option in application.options)
    return Map({option.key: values[option.group][option.name] for option in options})


def _declaration(option: AppOption) -> Declaration:
    value = option.default
    default = str(value).lower() if isinstance(value, bool) else str(value)
    return Declaration(default, _PARSERS[option.kind], option.kind, option.help.rstrip("."))


def _integer(value: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ValueError("expected a whole number")
    return int(value)


_PARSERS: Mapping[str, Callable[[str], OptionValue]] = {
    "boolean": kinds.boolean,
    "integer": _integer,
    "string": str,
}
