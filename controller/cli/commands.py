"""The command line, ``tunbridge``.

Only click is imported here: a command is loaded when it is run, and loads what it needs. So who only asks is answered
quickly, and the controller's own start-up can choose its hub before anything else is there (see
:mod:`controller.daemon.process`).
"""

from __future__ import annotations

import errno
import os
import sys
import warnings

import click

from controller.cli import common_options
from controller.cli.common_options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    ExamplesGroup,
    LazyCommands,
    Options,
)
from controller.daemon import green_threads
from controller.runtime import garbage
from topology.errors import TunbridgeError

_COMMANDS = LazyCommands(
    {
        "run": "controller.cli.process_commands:run",
        "controller": "controller.cli.process_commands:controller",
        "api": "controller.cli.process_commands:api",
        "topology": "controller.cli.process_commands:topology_group",
        "apply": "controller.cli.topology_commands:apply",
        "export": "controller.cli.topology_commands:export",
        "host": "controller.cli.topology_commands:host",
        "plug": "controller.cli.plug_commands:plug",
        "unplug": "controller.cli.plug_commands:unplug",
        "status": "controller.cli.status_commands:status",
        "flows": "controller.cli.status_commands:flows",
        "top": "controller.cli.status_commands:top",
        "config": "controller.cli.status_commands:config",
        "events": "controller.cli.diagnosis_commands:events",
        "explain": "controller.cli.diagnosis_commands:explain",
        "support": "controller.cli.diagnosis_commands:support",
        "trace": "controller.cli.diagnosis_commands:trace",
        "tls": "controller.cli.tls_commands:tls_group",
    }
)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from controller.runtime.version import installed_version

    click.echo(f"tunbridge {installed_version() or '(not installed: runs from its source tree)'}")
    ctx.exit()


@click.group(
    cls=ExamplesGroup,
    commands=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    tunbridge run                        serve this host, with its own topology database
    tunbridge apply demo.yaml            make networks and ports
    tunbridge status                     is this host in sync?
    tunbridge flows br-tun --diff        what is not installed as it should be
    """,
)
@common_options.config_file
@common_options.topology_option
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


def main() -> None:
    """Run the command of ``sys.argv`` and exit; an error is one line on stderr."""
    # eventlet prints a paragraph for its developers, and loads dnspython for names that green threads look up: there
    # are none, and it is a fifth of a start
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
    garbage.expect_much()
    with green_threads.away():
        status = _status_of_command()
    garbage.ending()
    sys.exit(status)


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
    from controller.runtime.printable_text import printable

    click.echo(f"tunbridge: {printable(' '.join(text.splitlines()))}", err=True)
    return status


if __name__ == "__main__":
    main()
