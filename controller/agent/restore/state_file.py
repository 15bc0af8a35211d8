"""The file below ``state_path`` with what the controller needs to know again after a restart.

It is written whole beside the old one and then takes its name, so that whoever reads it finds one or the other. What
changes within some seconds is written once: at most that is missing after a crash.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union

from os_ken.lib import hub

from controller.agent.restore.restore_guard import SavedState
from controller.agent.restore.typed_values import typed
from controller.runtime.backoff import Backoff
from controller.runtime.worker import Worker
from topology.errors import TunbridgeError
from topology.model import FixedIp, Host, Network, NetworkType, Port, PortStatus, Subnet
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

_MAX_REASON = 200  # characters of what is wrong with it

_INTERVAL = 2.0
"""Seconds between two writes."""

_BREATH = 200
"""Objects that are encoded before other threads have a turn."""


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
        LOG.error("%s", problem)
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
        self._encoded: dict[str, tuple[Any, str]] = {}
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
        LOG.error("%s", self.problem)

    def _encode(self, state: SavedState) -> str:
        """As JSON; what has not changed since the last time is not encoded again."""
        known, self._encoded = self._encoded, {}
        fresh = 0

        def text(key: str, thing: Union[Network, Port, Host, None]) -> str:
            nonlocal fresh
            found = known.get(key)
            if found is None or found[0] is not thing:
                fresh += 1
                if fresh % _BREATH == 0:
                    hub.sleep(0)
                found = thing, json.dumps(_plain(thing))
            self._encoded[key] = found
            return found[1]

        networks = [text(id_, network) for id_, network in state.networks.items()]
        ports = [text(id_, port) for id_, port in state.ports.items()]
        overridden = [f"{json.dumps(id_)}: {text(f'older {id_}', older)}" for id_, older in state.overridden.items()]
        hosts = [text(f"host {name}", host) for name, host in state.hosts.items()]
        overridden_hosts = [
            f"{json.dumps(name)}: {text(f'older host {name}', host)}" for name, host in state.overridden_hosts.items()
        ]
        version = state.version
        seen = json.dumps({"database": version.database, "revision": version.revision} if version else None)
        parts = {
            "version": seen,
            "networks": _lines("[]", networks),
            "ports": _lines("[]", ports),
            "held": _lines("{}", overridden),
            "hosts": _lines("[]", hosts),
            "held_hosts": _lines("{}", overridden_hosts),
        }
        return "".join([f'{{"format": {_FORMAT}', *(f',\n"{name}": {part}' for name, part in parts.items()), "}\n"])


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


def _plain(thing: Union[Network, Port, Host, None]) -> dict[str, Any] | None:
    if thing is None:
        return None
    values = dict(vars(thing))
    if isinstance(thing, Network):
        return {**values, "subnets": [vars(subnet) for subnet in thing.subnets]}
    if isinstance(thing, Host):
        return values
    if not thing.allowed_macs:  # most have none, and an older version does not know of it
        del values["allowed_macs"]
    return {**values, "fixed_ips": [vars(fixed_ip) for fixed_ip in thing.fixed_ips]}


def _decode(document: dict[str, Any]) -> SavedState:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r} is not known")
    version = document["version"]
    return SavedState(
        typed(TopologyVersion, version) if version is not None else None,
        _by_id(_network(values) for values in document["networks"]),
        _by_id(_port(values) for values in document["ports"]),
        {id_: _object(values) for id_, values in document["held"].items()},
        {host.name: host for host in map(_host, document["hosts"])},
        {name: _host(values) if values is not None else None for name, values in document["held_hosts"].items()},
    )


def _by_id(things: Any) -> dict[str, Any]:
    return {thing.id: thing for thing in things}


def _object(values: dict[str, Any] | None) -> Network | Port | None:
    make: Callable[[dict[str, Any]], Network | Port] = _network if values and "network_type" in values else _port
    return make(values) if values is not None else None


def _host(values: dict[str, Any]) -> Host:
    lists = {name: tuple(values[name]) for name in ("tunnel_ips", "tunnel_types")}
    mappings = tuple((network, bridge) for network, bridge in values["bridge_mappings"])
    return typed(Host, {**values, **lists, "bridge_mappings": mappings})


def _network(values: dict[str, Any]) -> Network:
    subnets = tuple(typed(Subnet, subnet) for subnet in values["subnets"])
    return typed(Network, {**values, "network_type": NetworkType(values["network_type"]), "subnets": subnets})


def _port(values: dict[str, Any]) -> Port:
    fixed_ips = tuple(typed(FixedIp, fixed_ip) for fixed_ip in values["fixed_ips"])
    allowed = tuple(values.get("allowed_macs", ()))
    status = PortStatus(values["status"])
    return typed(Port, {**values, "status": status, "fixed_ips": fixed_ips, "allowed_macs": allowed})
