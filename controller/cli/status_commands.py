"""The commands that only tell: status and flows, of the controller of this host; what can be configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controller.cli.common_options import EXIT_OUT_OF_SYNC, Examples, ExamplesGroup, configured

if TYPE_CHECKING:
    from controller.config.config import Config

_ALL = 10_000_000
"""More flows than a bridge has."""


@click.command(cls=Examples, epilog="tunbridge status --json | jq .ports")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(topology=False)
def status(config: Config, as_json: bool) -> int:
    """Show this host: bridges, ports, tunnels, drift.

    Exit status 0: all is in sync; 3: it is not.
    """
    from controller.status.control_client import call

    state = call(config.control_socket, "status")
    if as_json:
        from controller.cli import rendering

        click.echo(rendering.status_json(state), nl=False)
    else:
        from controller.cli import status_tables

        click.echo(status_tables.status(state), nl=False)
    return 0 if state["in_sync"] else EXIT_OUT_OF_SYNC


@click.command(
    cls=Examples,
    epilog="""
    tunbridge flows br-tun
    tunbridge flows br-int --diff
    tunbridge flows br-int --json | jq '.flows[] | select(.packets == 0)'
    """,
)
@click.argument("bridge", metavar="BRIDGE")
@click.option("--installed", "which", flag_value="installed", help="What the switch has (the default).")
@click.option("--desired", "which", flag_value="desired", help="What it should have.")
@click.option("--diff", "which", flag_value="diff", help="+ is missing, - should go; exit status 3 when there are any.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each flow with what it is for and its counters.")
@configured(topology=False)
def flows(config: Config, bridge: str, which: str | None, as_json: bool) -> int:
    """Print the flows of BRIDGE in the syntax of ovs-ofctl.

    With --json alone all that it has or should have.
    """
    if as_json:
        if which == "diff":
            raise click.UsageError("--json and --diff do not go together: --json says of each flow whether it is there")
        return _explained(config, bridge, which)
    which = which or "installed"
    from controller.status.control_client import call

    lines = call(config.control_socket, "flows", bridge=bridge, which=which)["lines"]
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return EXIT_OUT_OF_SYNC if which == "diff" and lines else 0


def _explained(config: Config, bridge: str, which: str | None) -> int:
    from controller.cli import rendering
    from controller.status.control_client import call

    answer = call(config.control_socket, "explained_flows", bridge=bridge, most=_ALL)
    flows = [flow for flow in answer["flows"] if which is None or flow[which]]
    told = {"bridge": bridge, "flows": flows, "number": len(flows), "silent": answer["silent"]}
    click.echo(rendering.status_json(told), nl=False)
    return 0


@click.group(cls=ExamplesGroup)
def config() -> None:
    """The configuration file."""


@config.command(epilog="tunbridge config sample > /etc/tunbridge/tunbridge.conf")
def sample() -> int:
    """Print a configuration file with all options, their defaults and what they mean.

    Everything in it is commented out: as it is, it changes nothing.
    """
    from controller.config import manual

    click.echo(manual.sample(), nl=False)
    return 0
