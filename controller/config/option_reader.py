"""Configuration files read by oslo.config: values of declared options, and errors that say where each was set.

Nothing is taken from the environment or from oslo.config's global ``CONF``. To oslo.config every value is text: around
what a type raises it has words of its own, in which the value's file cannot be told apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from oslo_config import cfg

from controller.config.declaration import Declaration, Problem
from topology.errors import ConfigError
from topology.regular_file import open_regular, read_all

DEFAULT = "DEFAULT"
"""The group of options that need none; oslo.config has it as no group."""

_SHOWN_VALUE_MAX = 200


class OptionReader:
    """One private ``ConfigOpts`` that knows the file of every value.

    :param files: paths, in the order in which they are read
    :param declared: group → name → option
    :raises ConfigError: a file cannot be read
    """

    def __init__(self, files: Sequence[str], declared: Mapping[str, Mapping[str, Declaration]]) -> None:
        for path in files:
            _check_readable(path)
        self._conf = cfg.ConfigOpts()
        for group, options in declared.items():
            for name, one in options.items():
                self._conf.register_opt(cfg.Opt(name, default=one.default), group=_oslo_group(group))
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

    def values(self, group: str, options: Mapping[str, Declaration]) -> dict[str, Any]:
        """Options of a group, by name.

        :raises ConfigError: a value cannot be used; the text names file, option and value
        """
        return {name: self.value(group, name, one) for name, one in options.items()}

    def value(self, group: str, name: str, declaration: Declaration) -> Any:
        """One option.

        :raises ConfigError: as :meth:`values`
        """
        try:
            text = self._conf[name] if group == DEFAULT else self._conf[group][name]
        except (cfg.Error, RecursionError):
            raise ConfigError(
                f"[{group}] {name}: its value refers to an option that does not exist, or to itself; "
                "write $$ for a dollar sign"
            ) from None
        if text is None:  # and not empty, which is a value too
            return declaration.initial()
        try:
            return declaration.parse(text)
        except ValueError as error:
            self.refuse(group, Problem(name, text, str(error)))

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
    """oslo.config passes over some unreadable files and raises bare errors for others; a pipe it finds empty."""
    if os.path.realpath(path) == os.devnull:
        return
    try:
        with open(path, "rb", opener=open_regular) as file:
            read_all(file).decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot read this configuration file: byte {error.start} is not UTF-8") from None
