"""The commands that make a topology database a cluster, look after it, and copy it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.common_options import EXIT_OUT_OF_SYNC, Examples, configured
from topology.errors import ConfigError

if TYPE_CHECKING:
    from controller.config.config import Config

_FILE = click.Path(path_type=Path)


@click.command(
    "create-cluster",
    cls=Examples,
    epilog="""
    tunbridge topology create-cluster
    tunbridge topology create-cluster --from /var/lib/tunbridge/topology.db
    """,
)
@click.option("--from", "source", metavar="FILE", type=_FILE, help="Begin with what this database file holds.")
@configured(topology=False)
def create_cluster(config: Config, source: Path | None) -> int:
    """Make this host the first member of a cluster, and end.

    Its database file is that of a member at [topology] cluster_address from then on; `tunbridge topology serve` serves
    it. FILE may be the file of this host itself, which is kept under another name.
    """
    from topology.server import cluster_file

    file = cluster_file.create_cluster(config.state_path, _address(config), source)
    click.echo(f"{file} is that of the first member of a cluster, at {_address(config)}")
    return 0


@click.command(
    "join-cluster", cls=Examples, epilog="tunbridge topology join-cluster tcp:192.0.2.1:6644,tcp:192.0.2.2:6644"
)
@click.argument("remotes", metavar="REMOTE[,REMOTE…]")
@configured(topology=False)
def join_cluster(config: Config, remotes: str) -> int:
    """Make this host one more member of a cluster, and end.

    A REMOTE is the [topology] cluster_address of a member that is there. `tunbridge topology serve` joins it and
    serves.
    """
    from controller.config import option_types as kinds
    from topology.server import cluster_file

    try:
        members = [kinds.cluster_address(item.strip()) for item in remotes.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{remotes!r}: {error}", param_hint="REMOTE") from None
    file = cluster_file.join_cluster(config.state_path, _address(config), members)
    click.echo(f"{file} is that of a member at {_address(config)}, which joins its cluster when it is served")
    return 0


@click.command(cls=Examples)
@configured(topology=False)
def leave(config: Config) -> int:
    """Take this host out of its cluster.

    Its server runs meanwhile, and is to be stopped then: its file is of no more use.
    """
    from topology.server.running_server import RunningServer

    RunningServer(config.state_path, config.run_path).leave()
    click.echo("this host has left its cluster: stop its server, and remove topology.db in state_path")
    return 0


@click.command(
    cls=Examples,
    epilog="""
    tunbridge topology kick tcp:192.0.2.3:6644
    tunbridge topology kick 8ea5
    """,
)
@click.argument("member", metavar="MEMBER")
@configured(topology=False)
def kick(config: Config, member: str) -> int:
    """Remove another member, which is gone for good, from the cluster of this host.

    MEMBER is its address or its id, as `tunbridge topology status` shows them. A majority must be there.
    """
    from topology.server.running_server import RunningServer

    gone = RunningServer(config.state_path, config.run_path).kick(member)
    click.echo(f"{gone.id} at {gone.address} is no member any more")
    return 0


@click.command("status", cls=Examples, epilog="tunbridge topology status --json | jq .members")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(topology=False)
def topology_status(config: Config, as_json: bool) -> int:
    """Show the topology database server of this host, and its cluster.

    Exit status 0: it serves; 3: it is a member without a leader, or a relay without its source.
    """
    from controller.cli import cluster_tables
    from topology.server.running_server import RunningServer

    found = RunningServer(config.state_path, config.run_path).status()
    wrong = cluster_tables.problems(found, config.topology.listen, host_rights=config.topology.host_rights)
    show = cluster_tables.server_json if as_json else cluster_tables.server_text
    click.echo(show(found, wrong), nl=False)
    return 0 if found.serves else EXIT_OUT_OF_SYNC


@click.command(
    "to-standalone",
    cls=Examples,
    epilog="""
    tunbridge topology to-standalone /var/lib/tunbridge/topology.db
    tunbridge topology to-standalone copy.db
    """,
)
@click.argument("file", metavar="FILE", type=_FILE)
@configured(topology=False)
def to_standalone(config: Config, file: Path) -> int:
    """Write what this member of a cluster holds into FILE, a topology database of one host.

    Its server must be stopped. FILE may be the member's own, which is kept under another name.
    """
    from topology.server import cluster_file

    cluster_file.to_standalone(config.state_path, file)
    click.echo(f"{file} is a topology database of one host")
    return 0


@click.command(cls=Examples, epilog="tunbridge topology backup topology.backup --topology tcp:192.0.2.10:6642")
@click.argument("file", metavar="FILE", type=_FILE)
@configured()
def backup(config: Config, file: Path) -> int:
    """Copy the topology database into FILE while it serves.

    FILE is a topology database of one host, for `tunbridge topology restore` and `tunbridge topology create-cluster`.
    Of a cluster, name all members, so that the leader is asked: of one that is named alone it says how far that was.
    """
    from controller.cli import cluster_tables
    from topology.server import backup as files

    connection, tls = config.topology_connection, config.topology.tls
    origin = files.origin(connection, tls)
    files.backup(connection, file, tls)
    click.echo(f"{file} holds the topology database at {connection}")
    if origin is not None:
        click.echo(cluster_tables.origin_text(origin))
    return 0


@click.command(cls=Examples, epilog="tunbridge topology restore topology.backup --topology tcp:192.0.2.10:6642")
@click.argument("file", metavar="FILE", type=_FILE)
@configured()
def restore(config: Config, file: Path) -> int:
    """Put what FILE holds in the place of the whole topology, while it serves.

    In one transaction. Networks and ports that run on hosts whose controller saw a newer one are written back.
    """
    from topology.server import backup as files

    files.restore(config.topology_connection, file, config.topology.tls)
    click.echo(f"the topology database at {config.topology_connection} holds what is in {file}")
    return 0


def _address(config: Config) -> str:
    address = config.topology.cluster_address
    if address is None:
        raise ConfigError(
            "[topology] cluster_address is not set: set it to where other members reach this host, "
            "such as tcp:192.0.2.1:6644"
        )
    return address
