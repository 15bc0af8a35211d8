"""The commands that stay in the foreground and serve: a host, the Network API, a topology database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controller.cli.common_options import EXIT_OUT_OF_SYNC, Examples, ExamplesGroup, LazyCommands, configured
from topology.errors import ConfigError

if TYPE_CHECKING:
    from controller.config.config import Config


def _choose_hub() -> None:
    from controller.daemon import process

    process.choose_hub()


_dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Print what it would change, rows and flows, and change nothing; exit status 3 when there is anything.",
)


@click.command(
    cls=Examples,
    epilog="""
    tunbridge run
    tunbridge run --dry-run
    tunbridge run --config-file /etc/neutron/plugins/ml2/openvswitch_agent.ini
    """,
)
@configured(first=_choose_hub, serves=True)
@_dry_run
def run(config: Config, dry_run: bool) -> int:
    """Serve this host, in the foreground.

    The host controller, the Network API, and the embedded topology database unless [topology] connection or --topology
    names another.
    SIGTERM or Ctrl-C ends it; flows stay.
    """
    return _run_controller(config, embedded=config.topology.connection is None, with_api=True, dry_run=dry_run)


@click.command(cls=Examples, epilog="tunbridge controller --topology tcp:192.0.2.10:6642")
@configured(first=_choose_hub, serves=True)
@_dry_run
def controller(config: Config, dry_run: bool) -> int:
    """Serve this host from another topology database.

    In the foreground; SIGTERM or Ctrl-C ends it; flows stay.
    """
    if config.topology.connection is None:
        raise ConfigError(
            "[topology] connection is not set: set it or give --topology, or start `tunbridge run`, "
            "which has a topology database of its own"
        )
    return _run_controller(config, embedded=False, with_api=False, dry_run=dry_run)


@click.command(cls=Examples, epilog="tunbridge api --topology tcp:192.0.2.10:6642")
@configured(serves=True)
def api(config: Config) -> int:
    """Serve the Network API v2.0 alone, in the foreground.

    It keeps nothing of its own: run as many as wanted. SIGTERM or Ctrl-C ends it.
    """
    from controller.daemon import process

    return process.api(config)


def _run_controller(config: Config, *, embedded: bool, with_api: bool, dry_run: bool) -> int:
    from controller.daemon import process

    if not dry_run:
        return process.run(config, embedded=embedded, with_api=with_api)
    lines = process.dry_run(config, embedded=embedded)
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return EXIT_OUT_OF_SYNC if lines else 0


_CLUSTER_COMMANDS = {
    "create-cluster": "create_cluster",
    "join-cluster": "join_cluster",
    "leave": "leave",
    "kick": "kick",
    "status": "topology_status",
    "to-standalone": "to_standalone",
    "backup": "backup",
    "restore": "restore",
}


@click.group(
    "topology",
    cls=ExamplesGroup,
    commands=LazyCommands({name: f"controller.cli.cluster_commands:{of}" for name, of in _CLUSTER_COMMANDS.items()}),
)
def topology_group() -> None:
    """The topology database servers: one host alone, a cluster, relays."""


@topology_group.command(epilog="tunbridge topology serve --config-file /etc/tunbridge/topology.conf")
@configured(topology=False, serves=True)
def serve(config: Config) -> int:
    """Run the topology database of this host alone, in the foreground.

    The embedded one, or a member of a cluster, as its file says. It listens at topology.sock in run_path and where
    [topology] listen says. SIGTERM or Ctrl-C ends it.
    """
    from controller.daemon import process

    return process.topology(config, process.embedded_server(config))


@topology_group.command(epilog="tunbridge topology relay --topology tcp:192.0.2.1:6642,tcp:192.0.2.2:6642")
@configured(serves=True)
def relay(config: Config) -> int:
    """Relay a topology database to many hosts, in the foreground.

    Reads are answered here, changes are passed on to [topology] connection. It listens at relay.sock in run_path and
    where [topology] listen says. SIGTERM or Ctrl-C ends it.
    """
    from controller.daemon import process
    from topology.server.relay_server import RelayServer

    given = config.topology
    if given.connection is None:
        raise ConfigError("[topology] connection is not set: set it or give --topology, to what is to be relayed")
    if given.host_rights:
        raise ConfigError("[topology] host_rights: who comes through a relay has the relay's rights, and not a host's")
    return process.topology(config, RelayServer(config.run_path, given.connection, given.listen, given.tls))
