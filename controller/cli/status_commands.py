"""The commands that only tell: status and flows, of the controller of this host; what can be configured."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from controller.cli.common_options import (
    EXIT_OUT_OF_SYNC,
    Examples,
    ExamplesGroup,
    HostController,
    asks_controller,
    configured,
)

if TYPE_CHECKING:
    from controller.config.config import Config

_ALL = 10_000_000
"""More flows than a bridge has."""

_WATCH = 2.0
"""Seconds between two looks, unless told."""

_ORDERS = ("traffic", "drops", "events", "name")


@click.command(
    cls=Examples,
    epilog="""
    tunbridge status --json | jq .ports
    tunbridge status --watch
    tunbridge status --watch 10 --json
    """,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--watch",
    metavar="[SECONDS]",
    type=click.FloatRange(1, 3600),
    is_flag=False,
    flag_value=_WATCH,
    help="Show it again and again, every 2 seconds unless told, until Ctrl-C.",
)
@asks_controller
def status(controller: HostController, as_json: bool, watch: float | None) -> int:
    """Show this host: bridges, ports, tunnels, drift.

    Exit status 0: all is in sync; 3: it is not.
    """
    if watch is not None:
        _watch(controller, watch, as_json=as_json)
    state = controller.ask("status")
    click.echo(_shown(state, as_json=as_json), nl=False)
    return 0 if state["in_sync"] else EXIT_OUT_OF_SYNC


def _shown(state: Mapping[str, Any], *, as_json: bool) -> str:
    if as_json:
        from controller.cli import rendering

        return rendering.status_json(state)
    from controller.cli import status_tables

    return status_tables.status(state)


def _watch(controller: HostController, seconds: float, *, as_json: bool) -> NoReturn:
    """Show it for ever: on a terminal in the place of what was there, elsewhere one after the other."""
    import json
    import time

    from controller.status.control_client import ControlError

    is_first, is_terminal = True, sys.stdout.isatty() and not as_json
    while True:
        try:
            state = controller.ask("status")
            text = json.dumps(state, sort_keys=True) + "\n" if as_json else _shown(state, as_json=False)
        except ControlError as error:
            if is_first:
                raise
            text = "" if as_json else f"{error}; waiting for it\n"
        if text and not as_json:
            text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}, every {seconds:g} s\n{text}"
        if is_terminal:
            click.clear()
        elif text and not (as_json or is_first):
            click.echo()
        click.echo(text, nl=False)
        sys.stdout.flush()
        is_first = False
        time.sleep(seconds)


@click.command(
    cls=Examples,
    epilog="""
    tunbridge top
    tunbridge top --once --sort drops | head
    """,
)
@click.option("--once", "is_once", is_flag=True, help="Print all ports once, as text: so it does where no terminal is.")
@click.option("--sort", type=click.Choice(_ORDERS), default="traffic", show_default=True, help="What they begin with.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    help="How often the screen is drawn anew.",
)
@configured(topology=False, silent=True)
def top(config: Config, is_once: bool, sort: str, interval: float) -> int:
    """Show the ports of this host by traffic, drops and events, again and again.

    Rates are those that Open vSwitch has counted: it writes its counters every 5 seconds.
    """
    from controller.cli.diagnosis_commands import line
    from controller.top import screen
    from controller.top.port_sources import PortSources

    with PortSources(config) as sources:
        sources.ask()
        if is_once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            sources.wait_for_rates()
            click.echo(screen.once(sources, sort), nl=False)
        else:
            screen.run(sources, sort, interval, line)
    return 0


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
@asks_controller
def flows(controller: HostController, bridge: str, which: str | None, as_json: bool) -> int:
    """Print the flows of BRIDGE in the syntax of ovs-ofctl.

    With --json alone all that it has or should have.
    """
    if as_json:
        if which == "diff":
            raise click.UsageError("--json and --diff do not go together: --json says of each flow whether it is there")
        return _explained(controller, bridge, which)
    which = which or "installed"
    lines = controller.ask("flows", bridge=bridge, which=which)["lines"]
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return EXIT_OUT_OF_SYNC if which == "diff" and lines else 0


def _explained(controller: HostController, bridge: str, which: str | None) -> int:
    from controller.cli import rendering

    answer = controller.ask("explained_flows", bridge=bridge, most=_ALL)
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
