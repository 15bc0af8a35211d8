"""Writes docs/events.md out of the kinds of events that are declared.

Run ``python -m controller.status.events_page > docs/events.md``; a test holds that the two are equal.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

from controller.network_api.event_stream.controller_events import LINGER
from controller.network_api.event_stream.stream_journal import BYTES_MAX as STREAM_BYTES_MAX
from controller.network_api.event_stream.stream_journal import HEARTBEAT, LIFETIME, MESSAGES_MAX
from controller.runtime import host_events
from controller.runtime.host_events import (
    BRIDGE_THERE,
    CONTROLLER_STARTED,
    DEVICE_GONE,
    DRIFT_FOUND,
    HOST_REGISTERED,
    NETWORK_CREATED,
    PORT_BOUND,
)
from controller.runtime.logs import JsonFormatter
from controller.status.journal import BYTES_MAX, EVENTS_MAX, PAGE, TEXT_MAX, Entry
from topology import event_kinds
from topology.event_kinds import DATABASE_CONNECTED, EventField, EventKind

_SECTIONS = {
    PORT_BOUND: "Ports and devices",
    BRIDGE_THERE: "Bridges",
    DRIFT_FOUND: "Drift",
    HOST_REGISTERED: "Hosts and their topology",
    CONTROLLER_STARTED: "The controller",
    NETWORK_CREATED: "The topology",
    DATABASE_CONNECTED: "Databases and child processes",
}
"""The first kind of each section, in the order of declarations, and its heading."""

_NOTES = {
    NETWORK_CREATED: (
        "What a process of the Network API sees. These are in the [event stream](#as-a-stream) alone, and\n"
        "`host-silent` and `host-heard` in the log of that process."
    )
}
"""What is said of a section below its heading."""

_AT = datetime(2026, 11, 28, 15, 44, 8, 123000, timezone.utc)
_ID, _NEXT_ID = "5f1c09ab-41-9a0b1c2d3e4f-26", "5f1c09ab-42-9a0b1c2d3e4f-27"
_EXAMPLE = Entry(27, _AT.timestamp(), DEVICE_GONE.event(device="tap0"), "INFO", "device tap0 is gone", 0)


def _record() -> str:
    """The line of JSON of the example in the log."""
    logger = "controller.agent.change_log"
    record = logging.LogRecord(logger, logging.INFO, "", 0, str(_EXAMPLE.message), None, None)
    record.__dict__.update(created=_EXAMPLE.time, event=_EXAMPLE.event)
    return JsonFormatter().format(record)


_HEAD = f"""\
<!-- Written by `python -m controller.status.events_page` out of the declared kinds of events. Do not edit. -->

# Events

What happens on a host is told as events: each has a kind, whose name and fields stay as they are, and most are a line
of the log too. The controller has a journal of them in memory, from its start on: the last {EVENTS_MAX:,} at most, and
{BYTES_MAX // 2**20} MiB of them; of a text {TEXT_MAX:,} characters.

    tunbridge events
    tunbridge events --since 10m --port tap0
    tunbridge events --follow --json

[`tunbridge events`](commands.md#tunbridge-events) asks for them at the control socket, {PAGE} at a time. With
`--follow` it asks again every half second for what came since, so that each event is printed once. A reader that
sleeps delays nobody: what has left the journal meanwhile is lost to it, and it says how many. When the controller is
started anew it goes on with the new journal, and says that too.

## In the log

A line of the log that tells of an event ends with its name in brackets:

    2026-11-28 15:44:08.123 INFO controller.agent.change_log device tap0 is gone [device-gone]

With `[DEFAULT] log_json`, or `--log-json` of the commands that stay in the foreground, each line of the log is an
object of JSON, for those who ship logs; `event` and `fields` are there where it tells of one, and `traceback` after an
exception:

    {_record()}

Of the kinds below that are not in the log it has no line: one for each would slow down bindings.

## As JSON

`tunbridge events --json` prints one object in a line: `id` counts from 1 with each start of the controller; `time` is
in UTC; `severity` is the level of the line of the log, `message` its text, or null; `fields` are those of the kind,
null where a value is not known:

    {json.dumps(_EXAMPLE.json())}

## As a stream

The [Network API](api.md#what-happens) tells events as they happen, to administrators: `GET /v2.0/tunbridge/events`
answers with server-sent events, for as long as the client wants. There are those of the controller of the host where
the API runs, where it can ask at that one's control socket, and what the API sees of the [topology](#the-topology)
itself, whichever host has caused it:

    $ curl -sN http://127.0.0.1:9696/v2.0/tunbridge/events
    : from here on
    id: {_ID}

    id: {_NEXT_ID}
    event: {_EXAMPLE.event.kind.name}
    data: {json.dumps({**_EXAMPLE.json(), "host": "host1"})}

`event` is a name of this page, or `gap`; `data` is the object above in one line, with `host`: whose controller tells of
it, or null for what the API sees, which has no `id` in a journal either.

- A client that comes back with the `id` of the last message that it has, as header `Last-Event-ID` or as
  `?last_event_id=`, is told all that was since, each event once. Without, it is told what happens from now on, and with
  `0` all that there is still. A comment at least every {HEARTBEAT:g} s shows that the connection lives.
- The process of the API has the last {MESSAGES_MAX:,} messages, and {STREAM_BYTES_MAX // 2**20} MiB of them at most. A
  client that reads so slowly, or comes back so late, that some of them have gone is told so: `event: gap` with `data:
  {{"missed": 17}}`, or null where the number is not known: the id is of another process, which may have seen changes of
  the topology that this one has not. What that one had told of the controller's events is not told again. A `gap` with
  `host` is one of the journal of that host's controller, which was ended without a chance to tell, or had more events
  than there is room for before they were read.
- A stream ends after {LIFETIME / 60:g} minutes, so that its client comes back and shows once more who it is.
- Nobody waits for a client that reads slowly. One that has taken nothing for `[api] answer_timeout` is cut off, and may
  come back. At most `[api] max_event_streams` are served.
- A controller is asked for events while somebody reads, and {LINGER / 60:g} minutes longer.
"""

_TABLE = """
## {}
{}
| event | severity | what has happened | fields |
| --- | --- | --- | --- |
"""


def kinds() -> dict[str, EventKind]:
    """All kinds of events by name, in the order of their declarations.

    :raises ValueError: two have the same name
    """
    found: dict[str, EventKind] = {}
    for module in (host_events, event_kinds):
        for value in vars(module).values():
            if isinstance(value, EventKind):
                if value.name in found:
                    raise ValueError(f"two kinds of events are called {value.name}")
                found[value.name] = value
    return found


def fields() -> Mapping[str, EventField]:
    """All fields by name.

    :raises ValueError: one name means two things
    """
    found: dict[str, EventField] = {}
    for kind in kinds().values():
        for field in kind.fields:
            if found.setdefault(field.name, field) != field:
                raise ValueError(f"{kind.name}: field {field.name} is another than that of other kinds")
    return found


def _table() -> Iterator[str]:
    for kind in kinds().values():
        if kind in _SECTIONS:
            yield _TABLE.format(_SECTIONS[kind], f"\n{_NOTES[kind]}\n" if kind in _NOTES else "")
        names = ", ".join(f"`{name}`" for name in kind.names)
        where = "" if kind.is_logged else " Not in the log."
        yield f"| `{kind.name}` | {kind.severity.value} | {kind.meaning}{where} | {names} |\n"


def page() -> str:
    """The page, as Markdown."""
    rows = (f"| `{name}` | {field.type.value} | {field.meaning} |\n" for name, field in sorted(fields().items()))
    return f"{_HEAD}{''.join(_table())}\n## Fields\n\n| field | type | what |\n| --- | --- | --- |\n{''.join(rows)}"


if __name__ == "__main__":
    print(page(), end="")
