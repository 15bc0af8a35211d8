"""Who this installation is: what makes its name in the topology its own, and not that of another host.

A UUID in ``state_path``, which outlives restarts and upgrades. A host's name cannot serve: two hosts can be given one.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from topology.errors import ConfigError
from topology.model import canonical_uuid
from topology.server.own_folder import check_own, open_own

_FILE = "host-id"

_SIZE = 36 + 1  # a UUID and a newline


def installation_id(state_path: str) -> str:
    """The UUID of this installation, made and kept in ``state_path``/host-id when there is none yet.

    Whoever asks at the same time gets the same.

    :param state_path: ``[DEFAULT] state_path``; made when it is missing
    :raises ConfigError: the file cannot be read or written, or holds something else
    """
    path = Path(state_path) / _FILE
    check_own("[DEFAULT] state_path", state_path)
    try:
        with contextlib.suppress(FileExistsError):
            if not path.exists():
                _create(path)
        return _read(path)
    except OSError as error:
        raise ConfigError(
            f"[DEFAULT] state_path: the id of this installation, {path}, cannot be read or made: {error.strerror}"
        ) from None


def known_installation_id(state_path: str) -> str | None:
    """The UUID of this installation as :func:`installation_id` gives it; None when there is none yet.

    :raises ConfigError: as of :func:`installation_id`
    """
    return installation_id(state_path) if (Path(state_path) / _FILE).exists() else None


def _read(path: Path) -> str:
    with open(path, "rb", opener=open_own) as file:
        text = file.read(_SIZE + 1).decode(errors="replace").strip()
    try:
        return canonical_uuid(text, _FILE)
    except ValueError:
        raise ConfigError(
            f"{path} does not hold the id of this installation, a UUID: restore it, or remove it, and this "
            "host's entry with `tunbridge host delete`, so that both are made anew"
        ) from None


def _create(path: Path) -> None:
    """Write the file whole before it has its name, and durably: whoever finds it finds all of it, after a crash too.

    :raises FileExistsError: somebody else was faster
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{_FILE}.{uuid.uuid4()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(f"{uuid.uuid4()}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        unfinished.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
