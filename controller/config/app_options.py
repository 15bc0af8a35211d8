"""The options that applications declare: chosen values out of the configuration files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from immutables import Map
from oslo_config import cfg

from apps import APPLICATIONS
from apps.framework.options import AppOption, OptionValue
from controller.config import option_types as kinds
from topology.errors import ConfigError

_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "boolean": kinds.boolean,
    "integer": kinds.whole_number,
    "string": str,
}


def app_options(files: Sequence[str]) -> Map[str, OptionValue]:
    """What files choose, for :attr:`apps.framework.host_view.HostView.options`.

    :param files: that :func:`controller.config.config.load` has read
    :raises ConfigError: a value cannot be used
    """
    options = [option for app in APPLICATIONS for option in app.options]
    conf = cfg.ConfigOpts()
    for option in options:
        conf.register_opt(cfg.StrOpt(option.name, default=str(option.default), help=option.help), group=option.group)
    paths = [os.path.abspath(path) for path in files]
    conf(args=[], project="tunbridge", default_config_files=paths, default_config_dirs=[], use_env=False)
    return Map({option.key: _value(option, conf[option.group][option.name]) for option in options})


def _value(option: AppOption, text: str) -> OptionValue:
    try:
        value: OptionValue = _PARSERS[option.kind](text)
    except ValueError as error:
        raise ConfigError(f"[{option.group}] {option.name} = {text!r}: {error}") from None
    return value
