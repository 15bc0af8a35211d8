"""The commands for who looks for an error: what has happened, all that is known of one thing, an archive of all."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from controller.cli.common_options import EXIT_ERROR, Examples, HostController, asks_controller, configured

if TYPE_CHECKING:
    from controller.config.config import Config

POLL = 0.5
"""Seconds between two questions of one who follows."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _since(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """So long ago, or when: seconds since the epoch."""
    if value is None:
        return None
    if ago := re.fullmatch(r"(\d{1,9})([smhd])", value):
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(re.sub("Z$", "+00:00", value)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{value!r}: expected e.g. 30s, 10m, 2h, 1d or 2026-11-28T15:44:08 (with Z in UTC)"
        ) from None


@click.command(
    cls=Examples,
    epilog="""
    tunbridge events --since 10m
    tunbridge events --follow --port tap0
    tunbridge events --json | jq 'select(.severity != "INFO")'
    """,
)
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print each as one line of JSON.")
@click.option(
    "--since", metavar="TIME", callback=_since, help="Not before: 30s, 10m, 2h or 1d ago, or when (ISO 8601)."
)
@click.option("--port", metavar="PORT", help="Those of one port: its id, or the name of its device.")
@click.option("--network", metavar="ID", help="Those that name one network.")
@asks_controller
def events(controller: HostController, follow: bool, as_json: bool, **asked: Any) -> int:
    """Show what has happened on this host since its controller was started.

    The journal is in memory, and bounded; the log is what lasts.
    """
    shown = json.dumps if as_json else line
    for event in _events(controller, asked, follow=follow):
        click.echo(shown(event))
    return 0


@click.command(
    cls=Examples,
    epilog="""
    tunbridge explain tap99f91280-a0
    tunbridge explain 10.1.1.13
    tunbridge explain demo_net1 --json
    tunbridge explain 0x7b1d025c68c4202f
    """,
)
@click.argument("thing", metavar="THING")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(silent=True)
def explain(config: Config, thing: str, as_json: bool) -> int:
    """Show all that is known of THING on this host.

    A port (its id, name, device, MAC or IP address), a network or a security group (its id or name), a local VLAN,
    or a flow (its cookie, or its text as `tunbridge flows` prints it).
    """
    from controller.cli import explanation_text, rendering
    from controller.status import explanation

    told = explanation.explain(config, thing)
    click.echo(rendering.status_json(told) if as_json else explanation_text.explanation(told, line), nl=False)
    return 0


@click.command(
    cls=Examples,
    epilog="""
    tunbridge trace tap99f91280-a0 10.1.1.14
    tunbridge trace tap99f91280-a0 ff:ff:ff:ff:ff:ff
    tunbridge trace tap99f91280-a0 10.1.1.14 --via 'ssh {host}'
    tunbridge trace tap99f91280-a0 10.1.1.14 --live --seconds 10
    tunbridge trace tap99f91280-a0 --frame arp,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_tpa=10.1.1.14
    tunbridge trace 10.1.1.13 --arriving gre:2:192.0.2.2 --frame dl_src=fa:16:3e:00:00:99
    """,
)
@click.argument("source", metavar="FROM", required=False)
@click.argument("target", metavar="TO", required=False)
@click.option("--frame", "words", metavar="FLOW", help="What the frame has, as ovs-ofctl writes it: tcp,tp_dst=80")
@click.option("--size", metavar="BYTES", type=click.IntRange(20, 65535), help="Size of the packet in the frame.")
@click.option("--arriving", metavar="WHERE", help="It comes from another host: TYPE:ID:ADDRESS or PHYSICAL[:VLAN].")
@click.option("--via", metavar="COMMAND", help="Ask other hosts by this, which runs a command on {host}.")
@click.option("--live", is_flag=True, help="Watch real frames for some seconds, and say what becomes of these.")
@click.option("--seconds", metavar="N", type=click.IntRange(1, 3600), default=5, help="For so long, unless given 5.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(silent=True)
def trace(config: Config, as_json: bool, live: bool, seconds: int, **asked: Any) -> int:
    """Follow a frame from the port FROM to the port TO: delivered, or dropped where and why.

    FROM has its device on this host. Both are an id, name, device, MAC or IP address of a port; TO any MAC address.
    """
    from controller.cli import rendering
    from controller.status.explanation import NotFoundError
    from controller.trace import frame_trace, live_trace, trace_page

    request = frame_trace.TraceRequest(**asked)
    try:
        told = live_trace.trace_live(config, request, seconds) if live else frame_trace.trace_frame(config, request)
    except NotFoundError as error:
        raise click.UsageError(str(error)) from None
    click.echo(rendering.status_json(told) if as_json else trace_page.page(told), nl=False)
    return 0 if told["delivered"] else EXIT_ERROR


@click.command(cls=Examples, epilog="tunbridge support --output /tmp/h1.tar.gz")
@click.option("--output", metavar="FILE", help="Write there; unless given, by host and time in the current directory.")
@configured(silent=True)
def support(config: Config, output: str | None) -> int:
    """Collect what whoever helps needs to know, in one archive.

    Configuration, status, flows, rows of the local OVSDB, events, versions and the end of the log, without secrets.
    Only this user may read it. What cannot be had is said, and left out.
    """
    from pathlib import Path

    from controller.status import support_archive

    path = Path(output) if output is not None else support_archive.default_path(config)
    collected = support_archive.collect(config, path)
    for name in collected.names:
        click.echo(name)
    for missing in collected.missing:
        click.echo(f"not in it: {missing}")
    click.echo(f"written: {collected.path} ({collected.path.stat().st_size} bytes, mode 0600)")
    return 0


def _events(controller: HostController, asked: Mapping[str, Any], *, follow: bool) -> Iterator[Mapping[str, Any]]:
    """Each once, however often the controller is asked."""
    from controller.status.control_client import ControlError

    place: dict[str, Any] = {}
    is_silent = False
    while True:
        try:
            answer = controller.ask("events", **place, **asked)
        except ControlError as error:
            if not (follow and place):
                raise
            if not is_silent:
                click.echo(f"tunbridge: {error}; waiting for it", err=True)
            is_silent = True
            time.sleep(POLL)
            continue
        is_silent = False
        if answer["lost"]:
            click.echo(f"tunbridge: {answer['lost']} events have left the journal before they were read", err=True)
        if place and answer["journal"] != place["journal"]:
            click.echo("tunbridge: the controller was started anew, and so was its journal", err=True)
        place = {"journal": answer["journal"], "after": answer["last"]}
        yield from answer["events"]
        if not answer["more"]:
            if not follow:
                return
            time.sleep(POLL)


def line(event: Mapping[str, Any]) -> str:
    """An event for people: local time, severity, name, and the line of the log or its fields."""
    from controller.runtime.printable_text import printable

    at = datetime.fromisoformat(event["time"].replace("Z", "+00:00")).astimezone()
    said = event["message"]
    if said is None:
        said = ", ".join(f"{name} {value}" for name, value in event["fields"].items() if value is not None)
    when = at.isoformat(" ", timespec="milliseconds").partition("+")[0]
    return printable(f"{when} {event['severity']} {event['event']}: {said}")
