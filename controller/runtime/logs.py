"""The log: one line per record, as text or JSON, on stderr or in a file, safe to read whatever a guest names its port.

Call :func:`configure` after monkey patching: it imports ovsdbapp.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import sys
from datetime import datetime, timezone
from io import TextIOWrapper
from typing import Any

from controller.runtime.printable_text import printable
from topology.errors import ConfigError
from topology.event_kinds import HostEvent

_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"
_TIME = "%Y-%m-%d %H:%M:%S"
_LIBRARIES = ("os_ken", "ovsdbapp", "eventlet", "oslo_config")


class LineFormatter(logging.Formatter):
    """One printable line; a traceback follows with every line marked as a continuation."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        return _continuation(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return _continuation(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        """An event's name follows its line, where its page and a search find it."""
        text = super().format(record)
        event: HostEvent | None = record.__dict__.get("event")
        if event is None or record.exc_info:
            return text
        return f"{text} [{event.kind.name}]"


class JsonFormatter(logging.Formatter):
    """One object of JSON in a line: ``time`` (UTC), ``level``, ``logger``, ``message``; of an event ``event``, its
    name, and ``fields``; after an exception ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = printable(record.getMessage())
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.message,
        }
        event: HostEvent | None = record.__dict__.get("event")
        if event is not None:
            told |= {"event": event.kind.name, "fields": event.fields()}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)  # whatever is not ASCII is escaped


class _LogFile(logging.handlers.WatchedFileHandler):
    """A file that logrotate may move away; what cannot be written there, for want of space say, goes to stderr.

    It names guests and networks: whatever the umask, it is made for its owner and the group that reads logs alone.
    """

    def __init__(self, path: str) -> None:
        self._complained = False
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_for_owner_and_group)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)
        if self.stream is not None:
            self._complained = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        with contextlib.suppress(OSError, ValueError):
            if not self._complained:
                print(f"{self.baseFilename} cannot be written ({error.strerror}): the log goes here", file=sys.stderr)
            print(self.format(record), file=sys.stderr, flush=True)
        self._complained = True
        stream, self.stream = self.stream, None  # opened again with the next record
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()  # without what it still holds, which stderr has


def _for_owner_and_group(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def configure(debug: bool, log_file: str | None, as_json: bool = False) -> None:
    """Set up logging for a process that keeps running; what was set up before is replaced.

    Libraries speak from WARNING on unless ``debug``. The OVSDB client of Open vSwitch (``ovs.vlog``), which says
    nothing by itself, is routed here for errors alone: its warnings repeat at every attempt to reconnect, and who owns
    the connection logs that it was lost and found.

    :param as_json: write lines of JSON
    :raises ConfigError: ``log_file`` cannot be written
    """
    handler: logging.Handler
    if log_file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = _LogFile(log_file)
        except OSError as error:
            raise ConfigError(f"[DEFAULT] log_file = {log_file!r}: cannot write there: {error.strerror}") from None
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter(_FORMAT, _TIME))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.NOTSET if debug else logging.WARNING)
    _route_vlog(debug)
    logging.captureWarnings(True)


def silence() -> None:
    """Set up logging for a command that ends with one error line of its own: libraries say nothing beside it."""
    logging.getLogger().addHandler(logging.NullHandler())


def warn() -> None:
    """Set up logging for a command whose output is on stdout: warnings go to stderr, one line each, without a time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("tunbridge: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)


def _route_vlog(debug: bool) -> None:
    from ovsdbapp.backend.ovs_idl import vlog

    vlog.reset_logger()
    vlog.use_python_logger(max_level=None if debug else vlog.ERROR)


def _continuation(text: str) -> str:
    return "\n".join("  | " + printable(line) for line in text.split("\n"))
