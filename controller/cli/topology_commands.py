"""The commands that read and change a topology database, from any host."""

from __future__ import annotations

import click

from controller.cli.common_options import Examples, ExamplesGroup, config_file, load, topology_option


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
@config_file
@topology_option
@click.pass_context
def apply(
    ctx: click.Context,
    file: str,
    prune: bool,
    dry_run: bool,
    progress: bool | None,
    config_files: tuple[str, ...],
    topology: str | None,
) -> int:
    """Make the topology hold what FILE says.

    All of it in one transaction, or nothing. Prints one line for each change; a second run changes nothing.
    """
    config = load(ctx, config_files, topology)
    from controller.cli import rendering
    from controller.cli.progress import Progress
    from controller.runtime import logs
    from topology.documents import load_document
    from topology.documents.apply import apply_document

    logs.silence()
    told = Progress(progress)
    try:
        document = load_document(file, lambda done: told.part(f"reading {file}", done))
        told.step(f"applying {file}")
        changes = apply_document(
            config.topology_connection,
            document,
            config.allocation_policy(),
            prune=prune,
            dry_run=dry_run,
            tls=config.topology.tls,
        )
    finally:
        told.end()
    click.echo(rendering.changes(changes), nl=False)
    return 0


@click.command(cls=Examples, epilog="tunbridge export > topology.yaml")
@config_file
@topology_option
@click.pass_context
def export(ctx: click.Context, config_files: tuple[str, ...], topology: str | None) -> int:
    """Print the topology as a document.

    What `tunbridge apply` would make it from: networks, subnets and ports, whoever has made them.
    """
    config = load(ctx, config_files, topology)
    from controller.cli import export
    from controller.runtime import logs

    logs.silence()
    click.echo(export.export(config), nl=False)
    return 0


@click.group(cls=ExamplesGroup)
def host() -> None:
    """The hosts of the topology."""


@host.command("list", epilog="tunbridge host list --json | jq '.hosts[] | select(.alive | not) | .name'")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_file
@topology_option
@click.pass_context
def host_list(ctx: click.Context, as_json: bool, config_files: tuple[str, ...], topology: str | None) -> int:
    """Show all hosts, and which of them live.

    A host is alive when its controller was heard of within [agent] agent_down_time.
    """
    config = load(ctx, config_files, topology)
    from controller.cli import host_table
    from controller.runtime import logs

    logs.silence()
    click.echo(host_table.list_hosts(config, as_json=as_json), nl=False)
    return 0


@host.command("delete", epilog="tunbridge host delete h3 --topology tcp:192.0.2.10:6642")
@click.argument("name", metavar="NAME")
@config_file
@topology_option
@click.pass_context
def host_delete(ctx: click.Context, name: str, config_files: tuple[str, ...], topology: str | None) -> int:
    """Remove host NAME, which is gone for good.

    All other hosts remove their tunnels to it; ports that it had bound are DOWN, and any host may bind them. Stop its
    controller first: one that still runs enters the host again when it is restarted or connects anew.
    """
    config = load(ctx, config_files, topology)
    from controller.cli import host_table
    from controller.runtime import logs

    logs.silence()
    click.echo(host_table.delete_host(config, name), nl=False)
    return 0
