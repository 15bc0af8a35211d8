"""Why a unix socket does not answer, in words that say what to do: the OVSDB client tells it to nobody."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from contextlib import suppress


def obstacle(connection: str) -> str:
    """What stands against a connection.

    :param connection: OVSDB connection method, e.g. ``unix:/run/openvswitch/db.sock``
    :returns: in brackets, after a blank; empty when nothing is known to
    """
    if not connection.startswith("unix:"):
        return ""
    path = connection.removeprefix("unix:")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return " (no such socket: is its server running?)"
        except ConnectionRefusedError:
            return " (nobody listens there: its server has ended)"
        except PermissionError:
            return f" (user {user_name(os.geteuid())} may not open it: {_access(path)})"
        except OSError:
            pass
    return ""


def _access(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{os.path.dirname(path)}: {error.strerror}"
    group = str(status.st_gid)
    with suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return (
        f"it is {user_name(status.st_uid)}:{group}'s with mode {status.st_mode & 0o7777:04o}; give its server a group "
        "of this user and umask 0007, or run as another user"
    )


def user_name(uid: int) -> str:
    """Of a user that is not known, the number."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
