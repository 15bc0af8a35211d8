"""Configuration files read by oslo.config: values of declared options, and errors that say where each was set.

Nothing is taken from the environment or from oslo.config's global ``CONF``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from oslo_config import cfg, types

from controller.config.declaration import Declaration, Problem
from topology.errors import ConfigError

DEFAULT = "DEFAULT"
"""The group of options that need none; oslo.config has it as no group."""

_SHOWN_VALUE_MAX = 200


@dataclass(frozen=True)
class Invalid:
    """Stands where a value could not be read.

    :param value: as written in the file
    :param expected: what would be right
    """

    value: str
    expected: str


class Checked(types.ConfigType):
    """An oslo.config type that gives an :class:`Invalid` instead of raising.

    oslo.config wraps what a type raises in a text of its own and does not tell the value's file apart; with a
    value in hand, ``ConfigOpts.get_location`` still tells it.
    """

    def __init__(self, parse: Callable[[str], Any], type_name: str) -> None:
        super().__init__(type_name=type_name)
        self._parse = parse

    def __call__(self, value: Any) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            return Invalid(str(value), str(error))

    def _formatter(self, value: Any) -> str:
        return str(value)

    def __repr__(self) -> str:
        return str(self.type_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checked) and self._parse is other._parse


class OptionReader:
    """One private ``ConfigOpts`` that knows the file of every value.

    :param files: paths, in the order in which they are read
    :param declared: group → name → option
    :raises ConfigError: a file cannot be read
    """

    def __init__(self, files: Sequence[str], declared: Mapping[str, Mapping[str, Declaration]]) -> None:
        for path in files:
            _check_readable(path)
        self._declared = declared
        self._conf = cfg.ConfigOpts()
        for group, options in declared.items():
            self._conf.register_opts(
                [
                    cfg.Opt(name, type=Checked(one.parse, one.form), default=one.default, help=one.text)
                    for name, one in options.items()
                ],
                group=_oslo_group(group),
            )
        try:
            self._conf(
                args=[],
                project="tunbridge",
                default_config_files=[os.path.abspath(path) for path in files],
                default_config_dirs=[],
                use_env=False,
            )
        except cfg.ConfigFileParseError as error:
            where = f"at {error.config_file}:"  # the file is said once
            raise ConfigError(f"{error.config_file}: {str(error.msg).replace(where, 'line ', 1)}") from None

    def values(self, group: str) -> dict[str, Any]:
        """All options of a group, by name.

        :raises ConfigError: a value cannot be used; the text names file, option and value
        """
        return {name: self._value(group, name, one) for name, one in self._declared[group].items()}

    def _value(self, group: str, name: str, declaration: Declaration) -> Any:
        values = self._conf if group == DEFAULT else self._conf[group]
        try:
            value = values[name]
        except (cfg.Error, RecursionError):
            raise ConfigError(
                f"[{group}] {name}: its value refers to an option that does not exist, or to itself; "
                "write $$ for a dollar sign"
            ) from None
        if isinstance(value, Invalid):
            self.refuse(group, Problem(name, value.value, value.expected))
        # None is a value too, of an option that is written as empty: only what no file sets has the declared default.
        return declaration.initial() if value is None and not self._is_set(group, name) else value

    def _is_set(self, group: str, name: str) -> bool:
        location = self._conf.get_location(name, _oslo_group(group))
        return location is not None and location.location is cfg.Locations.user

    def refuse(self, group: str, problem: Problem) -> NoReturn:
        """Say that an option's value cannot be used, and where it was set.

        :raises ConfigError: always
        """
        location = self._conf.get_location(problem.name, _oslo_group(group))
        where = f"{location.detail}: " if location and location.location is cfg.Locations.user else ""
        value = problem.value
        shown = value if len(value) <= _SHOWN_VALUE_MAX else value[:_SHOWN_VALUE_MAX] + "…"
        raise ConfigError(f"{where}[{group}] {problem.name} = {shown!r}: {problem.expected}")


def _oslo_group(group: str) -> str | None:
    return None if group == DEFAULT else group


def _check_readable(path: str) -> None:
    """oslo.config passes over some unreadable files and raises bare errors for others."""
    try:
        with open(path, encoding="utf-8") as file:
            file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: byte {error.start} is not UTF-8") from None
