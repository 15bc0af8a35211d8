"""``state_path`` and ``run_path``: folders of ours, and files there that nobody else can have put in the place of ours.

A controller may run as root. Whoever could write to one of its folders could put a link there, to have it overwrite
what he cannot; so nobody else may, and no link is followed, whoever has made it.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

from topology.errors import ConfigError, TopologyError
from topology.ovsdb.obstacle import user_name

_MAX_PASSED = 200
"""Folders and links on the way to a folder; more are links in a circle."""


def make_own(option: str, path: str | os.PathLike[str]) -> None:
    """Make a folder with mode 0700 where it is missing, and see that only this user and root can put files there.

    :param option: what names it, for errors, e.g. ``[DEFAULT] run_path``
    :raises ConfigError: somebody else can
    :raises OSError: it cannot be made
    """
    folder = Path(path)
    for missing in reversed([one for one in folder.parents if not one.exists()]):
        missing.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    check_own(option, folder)


def make_writable(option: str, path: Path) -> None:
    """The same, for what this user is to write there.

    :raises TopologyError: somebody else can put files there, or this user cannot
    """
    try:
        make_own(option, path)
    except ConfigError as error:
        raise TopologyError(str(error)) from None
    except OSError as error:
        raise TopologyError(f"{option} {path} cannot be made: {error.strerror}") from None
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise TopologyError(f"{option} {path} cannot be written: {os.strerror(errno.EROFS)}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise TopologyError(f"{option} {path} is not writable for this user")


def check_own(option: str, path: str | os.PathLike[str]) -> None:
    """See that only this user and root can put files into a folder, where there is one, or another in its place.

    :raises ConfigError: somebody else can
    """
    try:
        *above, (folder, state) = _passed(Path(path).absolute())
    except FileNotFoundError:
        return
    why = _who_may_write(folder, state, 0)
    if why is not None:
        raise ConfigError(f"{option} {path} {why}")
    for folder, state in above:
        why = _who_may_write(folder, state, stat.S_ISVTX)
        if why is not None:
            raise ConfigError(f"{option} {path} is below {folder}, which {why}")


def _passed(path: Path) -> list[tuple[Path, os.stat_result]]:
    """All folders and links that one comes through on the way to a folder, and at last that."""
    found, here, names = [], Path(path.anchor), list(reversed(path.parts[1:]))
    found.append((here, os.lstat(here)))
    while names:
        here = Path(os.path.normpath(here / names.pop()))
        state = os.lstat(here)
        found.append((here, state))
        if stat.S_ISLNK(state.st_mode):
            if len(found) > _MAX_PASSED:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
            target = Path(here.parent, os.readlink(here))
            here, names = Path(target.anchor), names + list(reversed(target.parts[1:]))
    return found


def _who_may_write(folder: Path, state: os.stat_result, safe: int) -> str | None:
    """Who else may put something else into a folder, and the command that ends that.

    :param safe: bits of the mode with which those that may write cannot replace what is of others
    """
    if state.st_uid not in (0, os.geteuid()):
        owner = user_name(state.st_uid)
        known = f"user {owner}" if owner.isdigit() else owner
        return f"belongs to {known}, who could replace what is there: chown {user_name(os.geteuid())} {folder}"
    if stat.S_ISLNK(state.st_mode) or state.st_mode & safe:
        return None
    mode = f"(mode {stat.S_IMODE(state.st_mode):04o})"
    if state.st_mode & stat.S_IWOTH:
        return f"may be written by everybody {mode}: chmod o-w {folder}"
    if state.st_mode & stat.S_IWGRP and not _is_private(state.st_gid):
        return f"may be written by its group {mode}: chmod g-w {folder}"
    return None


def _is_private(gid: int) -> bool:
    """Whether nobody but us and root is in a group."""
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return False
    members.update(user.pw_name for user in pwd.getpwall() if user.pw_gid == gid)
    return members <= {user_name(0), user_name(os.geteuid())}


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

    :raises OSError: one is a link, no regular file, or has another name elsewhere
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
        if state.st_nlink > 1:
            raise _other(path, "a link to a file that has another name too", errno.EMLINK)


def _other(path: str | os.PathLike[str], what: str, number: int) -> OSError:
    return OSError(number, f"it is {what}, which is not followed: remove it", os.fspath(path))
