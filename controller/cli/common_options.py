"""What the commands of the command line share, wherever they are: options, exit statuses, help with examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from controller.config.config import Config

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
    help="Topology database instead of [topology] connection: unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT.",
)


def load(ctx: click.Context, config_files: tuple[str, ...], topology: str | None = None) -> Config:
    """The configuration, from what was given before the command and after it.

    :raises ConfigError: it cannot be used
    """
    from controller.config import config

    given: Options = ctx.find_object(Options) or Options()
    files = given.config_files + config_files
    return config.load(files or config.default_files(), given.topology if topology is None else topology)
