"""``state_path`` and ``run_path``: folders of ours, and files there that nobody else can have put in the place of ours.

A controller may run as root. Whoever could write to one of its folders could put a link there, to have it overwrite
what he cannot; so nobody else may, and no link is followed, whoever has made it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from topology.errors import ConfigError
from topology.ovsdb.obstacle import user_name


def make_own(option: str, path: str | os.PathLike[str]) -> None:
    """Make a folder with mode 0700 where it is missing, and see that only this user and root can put files there.

    :param option: what names it, for errors, e.g. ``[DEFAULT] run_path``
    :raises ConfigError: somebody else can
    :raises OSError: it cannot be made
    """
    folder = Path(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_own(option, folder)


def check_own(option: str, path: str | os.PathLike[str]) -> None:
    """See that only this user and root can put files into a folder, where there is one; its group may.

    :raises ConfigError: somebody else can
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return
    if state.st_uid not in (0, os.geteuid()):
        owner, us = user_name(state.st_uid), user_name(os.geteuid())
        raise ConfigError(f"{option} {path} belongs to {owner}, who could replace files there: chown {us} {path}")
    if state.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(state.st_mode)
        raise ConfigError(f"{option} {path} may be written by everybody (mode {mode:04o}): chmod o-w {path}")


def open_own(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a regular file in one of our folders; a new one is for its owner alone.

    :param flags: as of :func:`os.open`
    :raises OSError: it cannot be opened, or something else is there: a link, a device, for writing also a file that
        has another name elsewhere
    """
    wanted = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, wanted, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _other(path, "a symbolic link" if os.path.islink(path) else "no regular file", error.errno) from None
        raise
    try:
        state = os.fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(state.st_mode):
            raise _other(path, "no regular file", errno.EINVAL)
        if flags & (os.O_WRONLY | os.O_RDWR) and state.st_nlink > 1:
            raise _other(path, "a link to a file that has another name too", errno.EMLINK)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def refuse_links(*paths: Path) -> None:
    """For files that another program opens for us.

    :raises OSError: one is a link or no regular file
    """
    for path in paths:
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(state.st_mode):
            raise _other(path, "a symbolic link", errno.ELOOP)
        if not stat.S_ISREG(state.st_mode):
            raise _other(path, "no regular file", errno.EINVAL)


def _other(path: str | os.PathLike[str], what: str, number: int) -> OSError:
    return OSError(number, f"it is {what}, which is not followed: remove it", os.fspath(path))
