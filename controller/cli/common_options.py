"""What the commands of the command line share, wherever they are: options, exit statuses, help with examples."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

EXIT_ERROR, EXIT_USAGE, EXIT_OUT_OF_SYNC, EXIT_INTERRUPTED = 1, 2, 3, 130


@dataclass(frozen=True)
class Options:
    """What was given before the command."""

    config_files: tuple[str, ...] = ()
    topology: str | None = None


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

            given = click.get_current_context().find_object(Options) or Options()
            files = given.config_files + config_files
            loaded = config.load(files or config.default_files(), given.topology if topology is None else topology)
            if log_json:
                loaded = dataclasses.replace(loaded, log_json=True)
            if silent:
                logs.silence()
            return command(loaded, **options)

        decorated = log_json_option(run) if serves else run
        return config_file(topology_option(decorated) if topology else decorated)

    return decorate
