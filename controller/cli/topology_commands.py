"""The commands that read and change a topology database, from any host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controller.cli.common_options import Examples, ExamplesGroup, configured
from controller.runtime import garbage
from topology.errors import TopologyError

if TYPE_CHECKING:
    from controller.config.config import Config
    from topology.documents.reader import Document

TIMEOUT = 10.0
"""Seconds to wait for the topology database."""


@click.command(
    cls=Examples,
    epilog="""
    tunbridge apply demo.yaml --dry-run
    tunbridge apply demo.yaml --prune --topology tcp:192.0.2.10:6642
    """,
)
@click.argument("file", metavar="FILE")
@click.option("--prune", is_flag=True, help="Delete networks, subnets and ports that FILE does not name.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Say on stderr how far it is, where that takes longer than a second. Default: on a terminal.",
)
@configured(silent=True)
def apply(config: Config, file: str, prune: bool, dry_run: bool, progress: bool | None) -> int:
    """Make the topology hold what FILE says.

    All of it in one transaction, or nothing. Prints one line for each change; a second run changes nothing.
    """
    from controller.cli import rendering
    from controller.cli.progress import Progress
    from topology.documents.apply import apply_document
    from topology.documents.document_text import read_text

    def document() -> Document:
        from topology.documents.reader import parse_text  # while the topology comes

        return parse_text(text, file, lambda done: told.part(f"reading {file}", done))

    garbage.search_nothing()
    told = Progress(progress)
    try:
        text = read_text(file)  # of a pipe, the end of which may be long after what the topology is by now
        changes = apply_document(
            config.topology_connection,
            document,
            config.allocation_policy(),
            prune=prune,
            dry_run=dry_run,
            tls=config.topology.tls,
            progress=lambda work: told.step(f"applying {file}: {work}"),
        )
    finally:
        told.end()
    click.echo(rendering.changes(changes), nl=False)
    return 0


@click.command(cls=Examples, epilog="tunbridge export > topology.yaml")
@configured(silent=True)
def export(config: Config) -> int:
    """Print the topology as a document.

    What `tunbridge apply` would make it from: networks, subnets, ports, security groups and address groups, whoever has
    made them.
    """
    from topology.database.snapshot import read_topology
    from topology.documents.writer import write_document

    found = read_topology(config.topology_connection, TIMEOUT, config.topology.tls)
    for problem in found.batch.problems:
        raise TopologyError(f"{problem.where} is broken, and what it stands for would be missing: {problem.reason}")
    networks = [network for network in found.batch.networks.values() if network is not None]
    ports = [port for port in found.batch.ports.values() if port is not None]
    groups = [group for group in found.batch.security_groups.values() if group is not None]
    addresses = [group for group in found.batch.address_groups.values() if group is not None]
    text = write_document(networks, ports, found.stored, groups, addresses, found.default_rules)
    click.echo(text, nl=False)
    return 0


@click.group(cls=ExamplesGroup)
def host() -> None:
    """The hosts of the topology."""


@host.command("list", epilog="tunbridge host list --json | jq '.hosts[] | select(.alive | not) | .name'")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(silent=True)
def host_list(config: Config, as_json: bool) -> int:
    """Show all hosts, and which of them live.

    A host is alive when its controller was heard of within [agent] agent_down_time.
    """
    from controller.cli import host_table

    click.echo(host_table.list_hosts(config, as_json=as_json), nl=False)
    return 0


@host.command("delete", epilog="tunbridge host delete h3 --topology tcp:192.0.2.10:6642")
@click.argument("name", metavar="NAME")
@configured(silent=True)
def host_delete(config: Config, name: str) -> int:
    """Remove host NAME, which is gone for good.

    All other hosts remove their tunnels to it; ports that it had bound are DOWN, and any host may bind them. Stop its
    controller first: one that still runs enters the host again when it is restarted or connects anew.
    """
    from controller.cli import host_table

    click.echo(host_table.delete_host(config, name), nl=False)
    return 0
