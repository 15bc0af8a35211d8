"""Kinds of events: what can happen on a host, each declared once with its name, its fields and what it means.

An event is a field of the record of the log that tells of it, so that whoever logs says it once::

    LOG.info("device %s is gone", name, extra=DEVICE_GONE.of(device=name))

Whoever wants events listens to the log: the journal of a controller (:mod:`controller.status.journal`), the log
as lines of JSON. Most kinds are declared in :mod:`controller.runtime.host_events`; here are those of what
this package does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, NamedTuple, Union

Value = Union[str, int, float, None]
"""Of a field."""


class Severity(Enum):
    """How much an event matters; named as the levels of the log."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class FieldType(Enum):
    """What values a field takes, in the words of JSON."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"


@dataclass(frozen=True)
class EventField:
    """A field of events. A value may be null where it is not known.

    :param meaning: as Markdown in one line
    """

    name: str
    type: FieldType
    meaning: str


class HostEvent(NamedTuple):
    """Something that has happened.

    :param values: of the fields of its kind, in their order
    """

    kind: EventKind
    values: tuple[Value, ...]

    def fields(self) -> dict[str, Value]:
        """Name of a field → its value."""
        return dict(zip(self.kind.names, self.values, strict=True))

    def told(self, at: float, severity: str, message: str | None) -> dict[str, Any]:
        """As JSON has it.

        :param at: seconds since the epoch
        :param severity: of the record of the log
        :param message: the line of the log, without time and part; None: there is none
        """
        when = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
        return {
            "time": when.replace("+00:00", "Z"),
            "event": self.kind.name,
            "severity": severity,
            "message": message,
            "fields": self.fields(),
        }


@dataclass(frozen=True)
class EventKind:
    """A kind of events.

    :param name: for ever: whoever ships logs filters by it
    :param severity: the level of the record of the log
    :param meaning: as Markdown in one line
    :param is_logged: the log has a line for each; else they are in the journal alone
    """

    name: str
    severity: Severity
    meaning: str
    fields: tuple[EventField, ...]
    is_logged: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(one.name for one in self.fields))

    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Names of the fields."""

    def event(self, **values: Value) -> HostEvent:
        """One event of this kind.

        :raises KeyError: a field lacks its value
        """
        return HostEvent(self, tuple([values[name] for name in self.names]))

    def of(self, **values: Value) -> dict[str, HostEvent]:
        """What the record of the log that tells of such an event has as its ``extra``."""
        return {"event": self.event(**values)}


def string(name: str, meaning: str) -> EventField:
    """A field with text."""
    return EventField(name, FieldType.STRING, meaning)


def integer(name: str, meaning: str) -> EventField:
    """A field with a whole number."""
    return EventField(name, FieldType.INTEGER, meaning)


REASON = string("reason", "why, in words")

_DATABASE = string("database", "name of an OVSDB database: `Tunbridge_Topology`, or `Open_vSwitch` of this host")
_CONNECTION = string("connection", "where a database is asked, as `[topology] connection` has it")
_PROCESS = string("process", "which child process, in words")

DATABASE_CONNECTED = EventKind(
    "database-connected", Severity.INFO, "A database is followed, from now on or again.", (_DATABASE, _CONNECTION)
)
DATABASE_LOST = EventKind(
    "database-lost",
    Severity.WARNING,
    "Its connection is lost. What is installed stays; it is tried again until it answers.",
    (_DATABASE, _CONNECTION),
)
DATABASE_SILENT = EventKind(
    "database-silent",
    Severity.WARNING,
    "It has not answered since the start; it is tried again until it does.",
    (_DATABASE, _CONNECTION),
)
DATABASE_UNUSABLE = EventKind(
    "database-unusable",
    Severity.ERROR,
    "It answers and cannot be used, or cannot be connected to.",
    (_DATABASE, _CONNECTION, REASON),
)
PROCESS_ENDED = EventKind(
    "process-ended",
    Severity.ERROR,
    "A child of the controller has ended by itself (the topology database server, the process of the Network API); it "
    "is started again.",
    (_PROCESS, integer("status", "exit status")),
)
PROCESS_RESTARTED = EventKind(
    "process-restarted", Severity.WARNING, "It runs again.", (_PROCESS, integer("pid", "process id"))
)
