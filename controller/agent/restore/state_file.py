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
from controller.runtime.backoff import Backoff
from controller.runtime.worker import Worker
from topology.model import FixedIp, Host, Network, Port, Subnet
from topology.source import TopologyVersion

LOG = logging.getLogger(__name__)

FILE = "remembered.json"
"""Name of the file."""

_FORMAT = 1

_INTERVAL = 2.0
"""Seconds between two writes."""

_BREATH = 200
"""Objects that are encoded before other threads have a turn."""


def load(path: Path) -> SavedState:
    """Read the file; without one nothing is known, and one that cannot read it says so.

    :param path: of the file
    """
    try:
        return _decode(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return SavedState()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        LOG.error(
            "%s cannot be read (%s): a topology database that was restored from a backup while this controller did not "
            "run would not be noticed",
            path, reason,
        )  # fmt: skip
        return SavedState()


class StateFile(Worker[None, SavedState]):
    """The worker that writes the file.

    :param path: of the file
    """

    retried = (OSError,)
    backoff = Backoff(_INTERVAL, _INTERVAL)
    rest = _INTERVAL

    def __init__(self, path: Path) -> None:
        super().__init__("state file")
        self._path = path
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
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
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
        TopologyVersion(str(version["database"]), int(version["revision"])) if version is not None else None,
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
    mappings = tuple((network, bridge) for network, bridge in values["bridge_mappings"])
    return Host(**{**values, "bridge_mappings": mappings})


def _network(values: dict[str, Any]) -> Network:
    return Network(**{**values, "subnets": tuple(Subnet(**subnet) for subnet in values["subnets"])})


def _port(values: dict[str, Any]) -> Port:
    fixed_ips = tuple(FixedIp(**fixed_ip) for fixed_ip in values["fixed_ips"])
    return Port(**{**values, "fixed_ips": fixed_ips, "allowed_macs": tuple(values.get("allowed_macs", ()))})
