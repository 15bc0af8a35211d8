"""The commands that plug the device of a port into this host, and unplug it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controller.cli.common_options import Examples, configured

if TYPE_CHECKING:
    from controller.config.config import Config

_MAX_NAME = 255  # bytes: a name of a namespace is one of a file


def _port_id(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from topology.model import canonical_uuid

    try:
        return canonical_uuid(value, "PORT_ID")
    except ValueError as error:
        raise click.BadParameter(f"{error}: `openstack port list` shows the ids of ports") from None


def _netns_name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and (value in ("", ".", "..") or "/" in value or len(value.encode()) > _MAX_NAME):
        raise click.BadParameter(f"{value!r} is not the name of a network namespace, as `ip netns` lists them")
    return value


_port_argument = click.argument("port_id", metavar="PORT_ID", callback=_port_id)


@click.command(
    cls=Examples,
    epilog="""
    tunbridge plug 99f91280-a060-442e-90b0-d8324e50efc8 --netns vm1
    ip netns exec vm1 ping 10.1.1.12
    """,
)
@_port_argument
@click.option(
    "--netns",
    metavar="NAME",
    callback=_netns_name,
    help="Network namespace to have the device in, with the routes of its subnets; it is made where it is not there.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait until the port is ACTIVE.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=86400),
    default=30,
    show_default=True,
    help="How long to wait for that.",
)
@configured(silent=True)
def plug(config: Config, port_id: str, netns: str | None, no_wait: bool, timeout: float) -> int:
    """Make the device of port PORT_ID on this host.

    An internal port of the integration bridge, with the port's MAC address and IP addresses and its network's MTU. A
    second call finishes what the first one could not, and otherwise changes nothing.
    """
    from controller.plugging import plug

    click.echo(plug.plug(config, port_id, netns, None if no_wait else timeout))
    return 0


@click.command(cls=Examples, epilog="tunbridge unplug 99f91280-a060-442e-90b0-d8324e50efc8")
@_port_argument
@configured(topology=False, silent=True)
def unplug(config: Config, port_id: str) -> int:
    """Remove what `tunbridge plug` has made for port PORT_ID.

    Its device, and the network namespace where plugging has made it and nothing else is in it.
    """
    from controller.plugging import plug

    click.echo(plug.unplug(config, port_id))
    return 0
