"""Files that an operator names: read without waiting for a pipe, and without end from a device.

Links are followed, since secrets and certificates are often mounted as such.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_MOST = 16 * 2**20
"""Bytes that are read of a file; a certificate or a thousand tokens are some 100 KiB."""


def open_regular(path: str, flags: int) -> int:
    """A descriptor of a regular file: an opener for :func:`open`.

    :param flags: as of :func:`os.open`
    :raises OSError: it cannot be opened, or is something else
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def read_all(file: BinaryIO) -> bytes:
    """What is in a file.

    :raises OSError: that is too much
    """
    read = file.read(_MOST + 1)
    if len(read) > _MOST:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST >> 20} MiB", file.name)
    return read
