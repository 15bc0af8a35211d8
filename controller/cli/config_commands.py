"""The commands about the configuration file itself."""

from __future__ import annotations

import click

from controller.cli.common_options import ExamplesGroup


@click.group(cls=ExamplesGroup)
def config() -> None:
    """The configuration file."""


@config.command(epilog="tunbridge config sample > /etc/tunbridge/tunbridge.conf")
def sample() -> int:
    """Print a configuration file with all options, their defaults and what they mean.

    Everything in it is commented out: as it is, it changes nothing.
    """
    from controller.config.manual import sample

    click.echo(sample(), nl=False)
    return 0
