"""What the commands of the command line share, wherever they are: options, exit statuses, help with examples."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from controller.config.config import Config

EXIT_ERROR, EXIT_USAGE, EXIT_OUT_OF_SYNC, EXIT_INTERRUPTED = 1, 2, 3, 130


@dataclass(frozen=True)
class Options:
    """What was given before the command."""

    config_files: tuple[str, ...] = ()
    topology: str | None = None

    def files(self, after: tuple[str, ...]) -> tuple[str, ...]:
        """The configuration files to read.

        :param after: given after the command
        """
        from controller.config.run_path import default_files

        return self.config_files + after or default_files()


class Examples(click.Command):
    """A command whose epilog keeps its lines, as examples need."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")


class ExamplesGroup(Examples, click.Group):
    """A group of such commands."""

    command_class = Examples


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group, each loaded when it is wanted: who runs one loads no other, and its help all.

    :param places: name → where it is, as an entry point has it: ``controller.cli.status_commands:status``
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, attribute = self._places[name].partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._places[name] = ""
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


config_file = click.option(
    "--config-file",
    "config_files",
    metavar="FILE",
    multiple=True,
    help="Configuration file; may be repeated, the last value of an option holds. "
    "Without it /etc/tunbridge/tunbridge.conf, when it is there.",
)
topology_option = click.option(
    "--topology",
    metavar="CONNECTION",
    help="Topology database instead of [topology] connection: unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT; "
    "comma-separated those of all members of a cluster.",
)


log_json_option = click.option("--log-json", is_flag=True, help="Write the log as lines of JSON: [DEFAULT] log_json.")


def _given() -> Options:
    return click.get_current_context().find_object(Options) or Options()


class HostController:
    """The controller of this host, for commands that only ask it.

    They read where it answers and no more of the configuration: it has its own, which is in force whatever the files
    say by now. When it does not answer, what is wrong with them may be why, and is said.

    :param topology: of ``--topology``: nothing that these commands need, but it may be wrong
    """

    def __init__(self, files: tuple[str, ...], topology: str | None) -> None:
        from controller.config.run_path import control_socket, plain_run_path

        self._files, self._topology = files, topology
        path = plain_run_path(files) if topology is None else None
        self._is_checked = path is None
        self._socket = self._load().control_socket if path is None else control_socket(path)

    def ask(self, command: str, **params: Any) -> Any:
        """Ask it, as :func:`controller.status.control_client.call` does.

        :raises ControlError: it does not answer, or refuses
        :raises ConfigError: it does not answer when it is asked first, and cannot be started with this configuration
        """
        from controller.status.control_client import ControlError, ControlRefusal, call

        is_checked, self._is_checked = self._is_checked, True
        try:
            return call(self._socket, command, **params)
        except ControlRefusal:
            raise
        except ControlError:
            if not is_checked:
                self._load()
            raise

    def _load(self) -> Config:
        from controller.config import config

        return config.load(self._files, self._topology)


def asks_controller(command: Callable[..., int]) -> Callable[..., int]:
    """Have a command called with the controller of this host, which is all that it asks."""

    @functools.wraps(command)
    def run(config_files: tuple[str, ...], **options: Any) -> int:
        given = _given()
        return command(HostController(given.files(config_files), given.topology), **options)

    return config_file(run)


def configured(
    *, topology: bool = True, silent: bool = False, serves: bool = False, first: Callable[[], None] = lambda: None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Have a command called with the configuration, from what was given before the command and after it.

    :param topology: it talks to the topology database, which ``--topology`` may name
    :param silent: what it says is no log
    :param serves: it stays in the foreground and has a log, whose form may be said
    :param first: is called before the configuration is read, and before the modules that read it are loaded
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def run(
            config_files: tuple[str, ...], topology: str | None = None, log_json: bool = False, **options: Any
        ) -> int:
            first()
            from controller.config import config
            from controller.runtime import logs

            given = _given()
            loaded = config.load(given.files(config_files), given.topology if topology is None else topology)
            if log_json:
                loaded = dataclasses.replace(loaded, log_json=True)
            if silent:
                logs.silence()
            return command(loaded, **options)

        decorated = log_json_option(run) if serves else run
        return config_file(topology_option(decorated) if topology else decorated)

    return decorate
