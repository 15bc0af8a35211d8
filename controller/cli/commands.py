"""The command line, ``tunbridge``.

Only click is imported here: each command loads what it needs, so that ``--help`` is quick, and so that the
controller's own start-up can choose its hub before anything else is there (see :mod:`controller.daemon.process`).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from types import FrameType
from typing import TYPE_CHECKING

import click

from controller.cli.common_options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_OUT_OF_SYNC,
    EXIT_USAGE,
    ExamplesGroup,
    Options,
    config_file,
    load,
    topology_option,
)
from controller.cli.plug_commands import plug, unplug
from topology.errors import ConfigError, TunbridgeError

if TYPE_CHECKING:
    from controller.config.config import Config


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from controller.runtime.version import installed_version

    click.echo(f"tunbridge {installed_version() or '(not installed: runs from its source tree)'}")
    ctx.exit()


@click.group(
    cls=ExamplesGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    tunbridge run                        serve this host, with its own topology database
    tunbridge apply demo.yaml            make networks and ports
    tunbridge status                     is this host in sync?
    tunbridge flows br-tun --diff        what is not installed as it should be
    """,
)
@config_file
@topology_option
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it.")
@click.pass_context
def cli(ctx: click.Context, config_files: tuple[str, ...], topology: str | None) -> None:
    """Native OpenFlow 1.3 controller for Open vSwitch hosts.

    Configuration has the groups and options of openvswitch_agent.ini.
    """
    ctx.obj = Options(config_files, topology)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(EXIT_USAGE)


_dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Print what it would change, rows and flows, and change nothing; exit status 3 when there is anything.",
)


@cli.command(
    epilog="""
    tunbridge run
    tunbridge run --dry-run
    tunbridge run --config-file /etc/neutron/plugins/ml2/openvswitch_agent.ini
    """
)
@config_file
@topology_option
@_dry_run
@click.pass_context
def run(ctx: click.Context, config_files: tuple[str, ...], topology: str | None, dry_run: bool) -> int:
    """Serve this host, in the foreground.

    The host controller, the Network API, and the embedded topology database unless [topology] connection or --topology
    names another.
    SIGTERM or Ctrl-C ends it; flows stay.
    """
    config = load(ctx, config_files, topology)
    return _run_controller(config, embedded=config.topology.connection is None, with_api=True, dry_run=dry_run)


@cli.command(epilog="tunbridge controller --topology tcp:192.0.2.10:6642")
@config_file
@topology_option
@_dry_run
@click.pass_context
def controller(ctx: click.Context, config_files: tuple[str, ...], topology: str | None, dry_run: bool) -> int:
    """Serve this host from another topology database.

    In the foreground; SIGTERM or Ctrl-C ends it; flows stay.
    """
    config = load(ctx, config_files, topology)
    if config.topology.connection is None:
        raise ConfigError(
            "[topology] connection is not set: set it or give --topology, or start `tunbridge run`, "
            "which has a topology database of its own"
        )
    return _run_controller(config, embedded=False, with_api=False, dry_run=dry_run)


@cli.command(epilog="tunbridge api --topology tcp:192.0.2.10:6642")
@config_file
@topology_option
@click.pass_context
def api(ctx: click.Context, config_files: tuple[str, ...], topology: str | None) -> int:
    """Serve the Network API v2.0 alone, in the foreground.

    It keeps nothing of its own: run as many as wanted. SIGTERM or Ctrl-C ends it.
    """
    config = load(ctx, config_files, topology)
    from controller.daemon import process

    return process.api(config)


def _run_controller(config: Config, *, embedded: bool, with_api: bool, dry_run: bool) -> int:
    from controller.daemon import process

    if not dry_run:
        return process.run(config, embedded=embedded, with_api=with_api)
    lines = process.dry_run(config, embedded=embedded)
    click.echo("".join(f"{line}\n" for line in lines), nl=False)
    return EXIT_OUT_OF_SYNC if lines else 0


@cli.group("topology", cls=ExamplesGroup)
def topology_group() -> None:
    """The topology database server."""


@topology_group.command(epilog="tunbridge topology serve --config-file /etc/tunbridge/topology.conf")
@config_file
@click.pass_context
def serve(ctx: click.Context, config_files: tuple[str, ...]) -> int:
    """Run the embedded topology database alone, in the foreground.

    It listens at topology.sock in run_path and where [topology] listen says. SIGTERM or Ctrl-C ends it.
    """
    config = load(ctx, config_files)
    from controller.runtime import logs
    from topology.server.embedded_server import EmbeddedServer

    logs.configure(config.debug, config.log_file)
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server = EmbeddedServer(config.state_path, config.run_path, config.topology.listen, config.topology.tls)
    server.start()
    try:
        ended.wait()
    finally:
        server.stop()
    return 0


@cli.command(
    epilog="""
    tunbridge apply demo.yaml --dry-run
    tunbridge apply demo.yaml --prune --topology tcp:192.0.2.10:6642
    """
)
@click.argument("file", metavar="FILE")
@click.option("--prune", is_flag=True, help="Delete networks, subnets and ports that FILE does not name.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@config_file
@topology_option
@click.pass_context
def apply(
    ctx: click.Context, file: str, prune: bool, dry_run: bool, config_files: tuple[str, ...], topology: str | None
) -> int:
    """Make the topology hold what FILE says.

    All of it in one transaction, or nothing. Prints one line for each change; a second run changes nothing.
    """
    config = load(ctx, config_files, topology)
    from controller.cli import rendering
    from controller.runtime import logs
    from topology.database.apply import apply_document
    from topology.documents import load_document

    logs.silence()
    result = apply_document(
        config.topology_connection,
        load_document(file),
        config.allocation_policy(),
        prune=prune,
        dry_run=dry_run,
        tls=config.topology.tls,
    )
    click.echo(rendering.changes(result.changes), nl=False)
    return 0


@cli.command(epilog="tunbridge export > topology.yaml")
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


@cli.group(cls=ExamplesGroup)
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
    from controller.cli import host_commands
    from controller.runtime import logs

    logs.silence()
    click.echo(host_commands.list_hosts(config, as_json=as_json), nl=False)
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
    from controller.cli import host_commands
    from controller.runtime import logs

    logs.silence()
    click.echo(host_commands.delete_host(config, name), nl=False)
    return 0


@cli.command(epilog="tunbridge status --json | jq .ports")
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


@cli.command(
    epilog="""
    tunbridge flows br-tun
    tunbridge flows br-int --diff
    """
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


cli.add_command(plug)
cli.add_command(unplug)


def main() -> None:
    """Run the command of ``sys.argv`` and exit; an error is one line on stderr."""
    # python-ovs imports eventlet where it is installed, and that prints a paragraph for its developers
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    sys.exit(_status_of_command())


def _status_of_command() -> int:
    try:
        outcome = cli.main(prog_name="tunbridge", standalone_mode=False)
        sys.stdout.flush()
        return outcome or 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "tunbridge"
        return _complain(f"{error.format_message()} (see {command} --help)", EXIT_USAGE)
    except (click.ClickException, TunbridgeError) as error:
        return _complain(str(error), EXIT_ERROR)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except OSError as error:
        # what is left in the buffer has nowhere to go; without this the interpreter complains about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR if error.errno == errno.EPIPE else _complain(error.strerror or str(error), EXIT_ERROR)


def _complain(text: str, status: int) -> int:
    from controller.runtime.logs import printable

    click.echo(f"tunbridge: {printable(' '.join(text.splitlines()))}", err=True)
    return status


if __name__ == "__main__":
    main()
