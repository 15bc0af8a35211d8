"""An archive for whoever helps: configuration, status, flows, rows, events, versions, log; without secrets.

What cannot be had is named in it, and nothing else suffers.
"""

from __future__ import annotations

import io
import json
import os
import platform
import ssl
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from controller.config.config import Config, declared_options
from controller.config.option_reader import DEFAULT
from controller.runtime.version import installed_version
from controller.status.control_client import call
from controller.status.redaction import Redaction, is_secret, secrets_of
from controller.vswitch.row_dump import read_rows
from topology.errors import TunbridgeError

LOG_BYTES = 2**20
"""The end of the log that is in it."""

_TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Manager", "Mirror", "QoS", "Queue")
_LIBRARIES = ("os-ken", "eventlet", "ovs", "ovsdbapp", "netaddr", "oslo.config", "uvicorn", "falcon", "click")


@dataclass(frozen=True)
class Collected:
    """What became of an archive.

    :param names: of the files in it
    :param missing: what is not in it, and why
    """

    path: Path
    names: tuple[str, ...]
    missing: tuple[str, ...]


def default_path(config: Config) -> Path:
    """In the current directory, by host and time."""
    now = datetime.now(timezone.utc)
    host = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in config.host)
    return Path(f"tunbridge-support-{host}-{now:%Y%m%dT%H%M%SZ}.tar.gz")


def collect(config: Config, path: Path) -> Collected:
    """Write an archive that only this user may read (mode 0600).

    :param path: of a file that is not there yet
    :raises TunbridgeError: it cannot be written
    """
    redaction = Redaction(secrets_of(config))
    names: list[str] = []
    missing: list[str] = []
    folder = path.name.removesuffix(".tar.gz")
    try:
        with open(path, "xb", opener=_for_owner) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:

            def add(name: str, text: str) -> None:
                _add(archive, f"{folder}/{name}", text)
                names.append(name)

            for what, source in _sources(config, redaction):
                try:
                    for name, text in source():
                        add(name, text)
                except (TunbridgeError, OSError, ValueError) as error:
                    missing.append(redaction.text(f"{what}: {error}"))
            lines = [f"{name}\n" for name in sorted(names)] + [f"not in it: {one}\n" for one in missing]
            add("contents.txt", "".join(lines))
    except FileExistsError:
        raise TunbridgeError(f"{path} is there already: name another file with --output") from None
    except OSError as error:
        raise TunbridgeError(f"{path} cannot be written: {error.strerror or error}") from None
    return Collected(path, tuple(names), tuple(missing))


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(content), int(time.time()), 0o600
    archive.addfile(info, io.BytesIO(content))


_Texts = Iterator[tuple[str, str]]
"""Names of files and what is in them."""


def _sources(config: Config, redaction: Redaction) -> Iterator[tuple[str, Callable[[], _Texts]]]:
    """What there may be, in words, and who gets it."""

    def as_json(value: Any) -> str:
        return json.dumps(redaction.value(value), indent=1, sort_keys=True) + "\n"

    def asked(command: str, **parameters: Any) -> Any:
        return call(config.control_socket, command, **parameters)

    def status() -> _Texts:
        yield "status.json", as_json(asked("status"))

    def flows() -> _Texts:
        for bridge in asked("status")["bridges"]:
            for which in ("desired", "installed", "diff"):
                try:
                    lines = asked("flows", bridge=bridge, which=which)["lines"]
                except TunbridgeError as error:
                    lines = [f"cannot be had: {error}"]
                yield f"flows/{bridge}.{which}.txt", redaction.text("".join(f"{line}\n" for line in lines))

    def events() -> _Texts:
        lines: list[str] = []
        answer: dict[str, Any] = {"journal": None, "last": 0, "more": True}
        while answer["more"]:
            answer = asked("events", journal=answer["journal"], after=answer["last"])
            lines += [json.dumps(redaction.value(event)) + "\n" for event in answer["events"]]
        yield "events.jsonl", "".join(lines)

    def metrics() -> _Texts:
        yield "metrics.txt", redaction.text(str(asked("metrics")))

    def rows() -> _Texts:
        yield "ovsdb.json", as_json(read_rows(config.ovs.ovsdb_connection, _TABLES, config.ovs.tls))

    yield "versions", lambda: iter([("versions.json", as_json(_versions()))])
    yield "configuration", lambda: iter([("configuration.txt", redaction.text(_configuration(config)))])
    yield "status", status
    yield "flows", flows
    yield "events", events
    yield "metrics", metrics
    yield "rows of the local OVSDB", rows
    yield "log", lambda: iter([("log.txt", redaction.text(_log(config)))])


def _versions() -> dict[str, Any]:
    libraries: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            libraries[name] = None
    return {
        "tunbridge": installed_version(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": libraries,
    }


def _configuration(config: Config) -> str:
    """All options as they are in force; files and options of other programs are not copied."""
    lines = [f"# from {', '.join(config.files) or 'no file'}"]
    for group, options in declared_options().items():
        lines.append(f"[{group}]")
        holder = config if group == DEFAULT else getattr(config, group, None)
        for name in options:
            value = getattr(holder, name, config.applications.get(f"{group}.{name}"))
            lines.append(f"{name} = {'(removed)' if is_secret(name) and value else value}")
    return "".join(f"{line}\n" for line in lines)


def _log(config: Config) -> str:
    if config.log_file is None:
        raise TunbridgeError("it goes to stderr and so to whoever started it, e.g. journalctl -u tunbridge")
    with open(config.log_file, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - LOG_BYTES))
        return file.read().decode(errors="replace")
