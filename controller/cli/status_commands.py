"""The commands that ask the controller of this host: status and flows."""

from __future__ import annotations

import click

from controller.cli.common_options import EXIT_OUT_OF_SYNC, Examples, config_file, load


@click.command(cls=Examples, epilog="tunbridge status --json | jq .ports")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_file
@click.pass_context
def status(ctx: click.Context, as_json: bool, config_files: tuple[str, ...]) -> int:
    """Show this host: bridges, ports, tunnels, drift.

    Exit status 0: all is in sync; 3: it is not.
    """
    config = load(ctx, config_files)
    from controller.cli import rendering
    from controller.status.control_client import call

    state = call(config.control_socket, "status")
    click.echo(rendering.status_json(state) if as_json else rendering.status(state), nl=False)
    return 0 if state["in_sync"] else EXIT_OUT_OF_SYNC


@click.command(
    cls=Examples,
    epilog="""
    tunbridge flows br-tun
    tunbridge flows br-int --diff
    """,
)
@click.argument("bridge", metavar="BRIDGE")
@click.option("--installed", "which", flag_value="installed", help="What the switch has (the default).")
@click.option("--desired", "which", flag_value="desired", help="What it should have.")
@click.option("--diff", "which", flag_value="diff", help="+ is missing, - should go; exit status 3 when there are any.")
@config_file
@click.pass_context
def flows(ctx: click.Context, bridge: str, which: str | None, config_files: tuple[str, ...]) -> int:
    """Print the flows of BRIDGE in the syntax of ovs-ofctl."""
    which = which or "installed"
    config = load(ctx, config_files)
    from controller.status.control_client import call

    lines = call(config.control_socket, "flows", bridge=bridge, which=which)["lines"]
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return EXIT_OUT_OF_SYNC if which == "diff" and lines else 0
