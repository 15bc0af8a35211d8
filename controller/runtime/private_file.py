"""Files with secrets: not to be read by everybody on the machine."""

from __future__ import annotations

import os
import stat

from topology.errors import ConfigError
from topology.regular_file import open_regular, read_all


def read_private(path: str) -> tuple[os.stat_result, bytes]:
    """What a file is, and what is in it.

    :raises ConfigError: others than its owner and its group have access to it
    :raises OSError: it cannot be read, or is no regular file
    """
    with open(path, "rb", opener=open_regular) as file:
        state = os.fstat(file.fileno())
        if state.st_mode & stat.S_IRWXO:
            mode = stat.S_IMODE(state.st_mode)
            raise ConfigError(f"everybody on this machine has access to it (mode {mode:04o}); chmod o= is right")
        return state, read_all(file)
