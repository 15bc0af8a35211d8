"""Where the controller of this host has its sockets: all of the configuration that a command needs which only asks it.

``[DEFAULT] run_path`` is read with oslo.config's own parser of files and by its rules, but without the rest of
oslo.config and without all other options, whose modules are most of the time that such a command takes. What is unusual
is left to :mod:`controller.config.config`, which also says what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO, TextIOWrapper

from oslo_config import iniparser

from controller.config.text_types import socket_directory
from topology.regular_file import open_regular, read_all

DEFAULT_FILE = "/etc/tunbridge/tunbridge.conf"
"""Read when it exists and no file is named."""

DEFAULT_RUN_PATH = "/run/tunbridge"


def default_files() -> tuple[str, ...]:
    """The files to read when none is named: :data:`DEFAULT_FILE`, when it is there."""
    return (DEFAULT_FILE,) if os.path.exists(DEFAULT_FILE) else ()


def control_socket(run_path: str) -> str:
    """Where the controller of this host answers the command line."""
    return os.path.join(run_path, "control.sock")


def plain_run_path(files: Sequence[str]) -> str | None:
    """``[DEFAULT] run_path``; None where it takes all of oslo.config to say what it is, or what is wrong.

    That is: a file cannot be read or parsed, the value cannot be used, it refers to other options, or options are
    read from elsewhere too.

    :param files: paths, in the order in which they are read: the last value holds
    """
    value = DEFAULT_RUN_PATH
    try:
        for path in files:
            parser = _RunPathParser()
            parser.parse(_lines(path))
            if parser.has_more:
                return None
            value = value if parser.value is None else parser.value
        return None if "$" in value else socket_directory(value)
    except (OSError, ValueError, iniparser.ParseError):
        return None


def _lines(path: str) -> list[str]:
    """Of one file, decoded as oslo.config does it, by the locale; as everywhere in Tunbridge it must be UTF-8 too."""
    with open(path, "rb", opener=open_regular) as file:
        content = read_all(file)
    content.decode()
    return TextIOWrapper(BytesIO(content)).readlines()


class _RunPathParser(iniparser.BaseParser):
    """Of one file the value that holds; None: it has none."""

    def __init__(self) -> None:
        self._section: str | None = None
        self.value: str | None = None
        self.has_more = False
        """Options are read from elsewhere too: ``[DEFAULT] config_source``."""

    def new_section(self, section: str) -> None:
        self._section = section

    def assignment(self, key: str, value: list[str]) -> None:
        if self._section is None:
            raise self.parse_exc("no section", self.lineno, "")
        if (self._section, key) == ("DEFAULT", "run_path"):
            self.value = "\n".join(value)
        self.has_more |= (self._section, key) == ("DEFAULT", "config_source")
