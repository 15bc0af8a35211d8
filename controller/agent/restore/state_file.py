"""The file below ``state_path`` with what the controller needs to know again after a restart.

It is written whole beside the old one and then takes its name, so that whoever reads it finds one or the other. What
changes within some seconds is written once: at most that is missing after a crash.
"""

from __future__ import annotations

import json
import logging
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from os_ken.lib import hub

from apps.framework.local_vlans import NetworkSegment
from controller.agent.restore.restore_guard import NOT_SAVED, SavedState
from controller.runtime.backoff import Backoff
from controller.runtime.host_events import STATE_FILE_FAILED
from controller.runtime.worker import Worker
from topology.errors import TunbridgeError
from topology.model import VLAN_MAX, VLAN_MIN, Host, Network, Port
from topology.server.own_folder import open_own
from topology.source import TopologyVersion

LOG = logging.getLogger(__name__)

FILE = "remembered.json"
"""Name of the file."""

_FORMAT = 1

_ASIDE = ".unreadable"
"""After the name of a file that could not be read."""

_MAX_BYTES = 256 * 2**20
"""Size of a file that is read; 10,000 ports take some 5 MiB."""

_LEFT_OUT = (*NOT_SAVED, "mtu", "allowed_ips", "migrating_to")

_SELDOM = ("allowed_macs", "port_security_enabled", "allowed_prefixes", "security_group_ids")
"""Attributes of a port that are left out where it has none: an older version does not know of all of them."""

_MAX_REASON = 200  # characters of what is wrong with it

_INTERVAL = 2.0
"""Seconds between two writes."""

_BREATH = 40
"""Objects that are encoded before other threads have a turn: a millisecond."""


_Saved = Network | Port | Host | NetworkSegment | None


class StateFileError(TunbridgeError):
    """The file cannot be read."""


def load(path: Path) -> SavedState:
    """Read the file; without one nothing is known.

    :param path: of the file
    :raises StateFileError: it cannot be read, or its content is of another form
    """
    try:
        with open(path, "rb", opener=open_own) as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB")
        return _decode(json.loads(raw))
    except FileNotFoundError:
        return SavedState()
    except OSError as error:
        raise StateFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        raise StateFileError(f"{path} cannot be read: {reason}") from None


def load_or_set_aside(path: Path) -> tuple[SavedState, str | None]:
    """Read the file; one that cannot be read gets another name, since the next one takes its place.

    :returns: what is known, and why it is nothing
    """
    try:
        return load(path), None
    except StateFileError as error:
        aside = path.with_name(f"{path.name}{_ASIDE}")
        try:
            path.replace(aside)
            where = f"it is {aside.name} now"
        except OSError as failure:
            where = f"it cannot be renamed to {aside.name}: {failure.strerror}"
        problem = (
            f"{error} ({where}): a topology database that was restored from a backup while this controller did not "
            "run would not be noticed"
        )
        LOG.error("%s", problem, extra=STATE_FILE_FAILED.of(reason=problem))
        return SavedState(), problem


class StateFile(Worker[None, SavedState]):
    """The worker that writes the file.

    :param path: of the file
    :param lost: why what an earlier controller has saved is not known
    """

    retried = (OSError,)
    backoff = Backoff(_INTERVAL, _INTERVAL)
    rest = _INTERVAL

    def __init__(self, path: Path, lost: str | None = None) -> None:
        super().__init__("state file")
        self._path = path
        self.lost = lost
        self._encoded: dict[int, tuple[_Saved, str]] = {}
        """Identity → an object, which it keeps alive, and its text."""
        self.problem: str | None = None
        """Why it is not written at the moment."""

    def put(self, state: SavedState) -> None:
        """Have this saved."""
        self.submit({None: state})

    def _do(self, batch: Mapping[None, SavedState]) -> None:
        for state in batch.values():
            try:
                save(self._path, self._encode(state))
            except OSError as error:
                self.problem = (
                    f"{self._path} cannot be written: {error.strerror}: what runs here is not remembered over a restart"
                )
                raise
            if self.problem is not None:
                LOG.info("%s is written again", self._path)
            self.problem = None

    def _complain(self, batch: Mapping[None, SavedState], error: Exception) -> None:
        LOG.error("%s", self.problem, extra=STATE_FILE_FAILED.of(reason=self.problem))

    def _encode(self, state: SavedState) -> str:
        """As JSON; what has not changed since the last time is not encoded again."""
        known, self._encoded = self._encoded, {}
        fresh = 0

        def text(thing: _Saved) -> str:
            nonlocal fresh
            found = known.get(id(thing))
            if found is None:
                fresh += 1
                if fresh % _BREATH == 0:
                    hub.sleep(0)
                found = thing, _ENCODER.encode(thing)
            self._encoded[id(thing)] = found
            return found[1]

        def members(things: Mapping[str, _Saved]) -> str:
            return _lines("{}", [f"{json.dumps(name)}: {text(thing)}" for name, thing in things.items()])

        parts = {
            "format": json.dumps(_FORMAT),
            "version": json.dumps(state.version, default=_plain),
            "networks": _lines("[]", list(map(text, state.networks.values()))),
            "ports": _lines("[]", list(map(text, state.ports.values()))),
            "held": members(state.overridden),
            "hosts": _lines("[]", list(map(text, state.hosts.values()))),
            "held_hosts": members(state.overridden_hosts),
            "vlans": members({str(vlan): segment for vlan, segment in state.vlans.items()}),
        }
        return _lines("{}", [f'"{name}": {part}' for name, part in parts.items()]) + "\n"


def _lines(brackets: str, texts: list[str]) -> str:
    return brackets[0] + ",\n".join(texts) + brackets[1]


def save(path: Path, text: str) -> None:
    """Put a file with this text in the place of another, durably.

    :raises OSError: it cannot be done; the other stays
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    with open(unfinished, "w", opener=open_own) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _plain(thing: object) -> dict[str, object]:
    """A dataclass for JSON. What most ports do not have is left out, and what is not written back and nothing here
    rests on (a network's MTU, IP addresses of address pairs): an older version does not know of it."""
    told = {name: value for name, value in vars(thing).items() if name not in _LEFT_OUT}
    return {name: value for name, value in told.items() if name not in _SELDOM or value}


_ENCODER = json.JSONEncoder(default=_plain)


def _decode(document: dict[str, object]) -> SavedState:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r} is not known")

    def part(name: str, kind: Any) -> Any:
        return _reader(kind)(document[name], (None, name))

    vlans = part("vlans", Mapping[str, NetworkSegment]) if "vlans" in document else {}  # an older version has none
    return SavedState(
        part("version", TopologyVersion | None),
        {network.id: network for network in part("networks", tuple[Network, ...])},
        {port.id: port for port in part("ports", tuple[Port, ...])},
        part("held", Mapping[str, Network | Port | None]),
        {host.name: host for host in part("hosts", tuple[Host, ...])},
        part("held_hosts", Mapping[str, Host | None]),
        {_vlan(text): segment for text, segment in vlans.items()},
    )


def _vlan(text: str) -> int:
    vlan = int(text)
    if not VLAN_MIN <= vlan <= VLAN_MAX:
        raise ValueError(f"vlans: {vlan} is none")
    return vlan


_Where = tuple["_Where", str] | None
"""Where a value is: within what, and by which name."""

_Reader = Callable[[Any, "_Where"], Any]
"""Makes a value of one type, from what JSON has of it and where that is."""


@cache
def _reader(kind: Any) -> _Reader:
    """Who makes values of a type: what is declared as text is text, to the last field.

    Anybody may have written the file, and a value of another type would end the process when it is first used. A
    controller with 1,000 ports reads some 20,000 values at its start, so that each type is looked at once.

    :param kind: a plain type, enumeration or dataclass, or a tuple, mapping or union of such
    :returns: raises :class:`TypeError` where a field has a value of another type than it declares, is missing, or is
        unknown, and :class:`ValueError` where a dataclass or an enumeration refuses a value
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union_reader([_reader(one) for one in arguments])
    if origin is tuple:
        return _tuple_reader([_reader(one) for one in arguments if one is not ...], is_endless=arguments[-1] is ...)
    if origin is Mapping:
        return _mapping_reader(_reader(arguments[1]))
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value, _where: kind(value)
    return _plain_reader(kind)


def _union_reader(readers: list[_Reader]) -> _Reader:
    *firsts, last = readers

    def read(value: Any, where: _Where) -> Any:
        for one in firsts:
            try:
                return one(value, where)
            except (TypeError, ValueError):
                continue
        return last(value, where)

    return read


def _tuple_reader(readers: list[_Reader], *, is_endless: bool) -> _Reader:
    def read(value: Any, where: _Where) -> Any:
        if not isinstance(value, list):
            raise _wrong_type(value, where)
        each = readers * len(value) if is_endless else readers
        return tuple([one(part, where) for one, part in zip(each, value, strict=True)])

    return read


def _mapping_reader(reader: _Reader) -> _Reader:
    def read(value: Any, where: _Where) -> Any:
        if not isinstance(value, dict):
            raise _wrong_type(value, where)
        return {key: reader(one, where) for key, one in value.items()}

    return read


def _dataclass_reader(kind: Any) -> _Reader:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    unknown = _plain_reader(object)  # the class refuses it

    def read(value: Any, where: _Where) -> Any:
        if not isinstance(value, dict):
            raise _wrong_type(value, where)
        return kind(**{name: readers.get(name, unknown)(one, (where, name)) for name, one in value.items()})

    return read


def _plain_reader(kind: Any) -> _Reader:
    def read(value: Any, where: _Where) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _wrong_type(value, where)
        if isinstance(value, str):
            value.encode()  # half of a surrogate pair is no text
        return value

    return read


def _wrong_type(value: Any, where: _Where) -> TypeError:
    names: list[str] = []
    while where is not None:
        where, name = where
        names.insert(0, name)
    return TypeError(f"{'.'.join(names)} is of type {type(value).__name__}")
