"""``auth_strategy = token``: callers known by a token of a file.

The file is a YAML list, an entry for each token::

    - sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08   # or token: the token itself
      user: ann
      project_id: demo        # an administrator needs none
      roles: [member]         # admin, member or reader
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import threading
from collections.abc import Mapping

import yaml

from controller.runtime.private_file import read_private
from topology.errors import ConfigError
from topology.rules.access.policy import Caller, caller

LOG = logging.getLogger(__name__)

_ROLES = ("admin", "member", "reader")
_KEYS = ("token", "sha256", "user", "project_id", "roles")
_TOKEN = re.compile(r"[!-~]{16,4096}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NAME_MAX = 255

_Stamp = tuple[int, int, int, int]
_Entries = Mapping[bytes, Caller]
"""SHA-256 of a token → whose it is."""


class TokenFile:
    """The callers of a file, which may be replaced at any time.

    A new file is used from the next request on; while it cannot be used, the last good one is.

    :param path: of the file; nobody but its owner and its group may have any access to it
    :raises ConfigError: it cannot be used
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._complaint = ""
        self._stamp, self._entries = self._load()

    def find(self, token: str) -> Caller | None:
        """Whose token it is; None: nobody's. How long it takes does not tell how much of a token is right."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, whose in self._current().items():
            if hmac.compare_digest(known, digest):
                found = whose
        return found

    def _current(self) -> _Entries:
        with self._lock:
            with contextlib.suppress(OSError):
                if _stamp(os.stat(self._path)) == self._stamp:
                    return self._entries
            try:
                self._stamp, self._entries = self._load()
            except ConfigError as error:
                if str(error) != self._complaint:
                    LOG.error("%s; the tokens that were there before are in use", error)
                self._complaint = str(error)
            else:
                self._complaint = ""
                LOG.info("[api] token_file: the new %s is used from now on", self._path)
            return self._entries

    def _load(self) -> tuple[_Stamp, _Entries]:
        try:
            state, raw = read_private(self._path)
            return _stamp(state), _entries(raw)
        except OSError as error:
            why = error.strerror or str(error)
        except ConfigError as error:
            why = str(error)
        raise ConfigError(f"[api] token_file: cannot use {self._path}: {why}")


def _stamp(state: os.stat_result) -> _Stamp:
    return state.st_mtime_ns, state.st_ino, state.st_size, state.st_mode


def _entries(raw: bytes) -> _Entries:
    """What a file says.

    :raises ConfigError: it cannot be read; the text tells the line, and never a token
    """
    try:
        root = yaml.compose(raw.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ConfigError(f"{where}this is not YAML") from None
    except RecursionError:
        raise ConfigError("it is nested too deep") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.SequenceNode):
        raise _wrong(root, "expected a list of tokens, each beginning with '- '")
    entries: dict[bytes, Caller] = {}
    lines: dict[bytes, int] = {}
    for node in root.value:
        digest, whose = _entry(node)
        if digest in entries:
            raise _wrong(node, f"the token of line {lines[digest]} again")
        entries[digest], lines[digest] = whose, node.start_mark.line + 1
    return entries


def _entry(node: yaml.Node) -> tuple[bytes, Caller]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, f"expected an entry with {', '.join(_KEYS)}")
    given: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else ""
        if name not in _KEYS or name in given:
            what = "is there twice" if name in given else f"is none of {', '.join(_KEYS)}"
            raise _wrong(key, f"this key {what}")
        given[name] = value
    if ("token" in given) == ("sha256" in given):
        raise _wrong(node, "expected either token or sha256")
    if "user" not in given or "roles" not in given:
        raise _wrong(node, f"expected {'roles' if 'user' in given else 'user'} too")
    roles = _roles(given["roles"])
    project = _name(given["project_id"]) if "project_id" in given else ""
    if not project and "admin" not in roles:
        raise _wrong(node, "expected project_id too, which only an administrator can be without")
    user = _name(given["user"])
    if not user:
        raise _wrong(given["user"], "expected a name")
    return _digest(given), caller(user, project, roles)


def _digest(given: dict[str, yaml.Node]) -> bytes:
    if "sha256" in given:
        node = given["sha256"]
        if not _SHA256.fullmatch(_text(node)):
            raise _wrong(node, "expected 64 hexadecimal digits, as sha256sum prints them")
        return bytes.fromhex(_text(node))
    node = given["token"]
    if not _TOKEN.fullmatch(_text(node)):
        raise _wrong(node, "expected a token of 16 to 4096 characters of ASCII without white space")
    return hashlib.sha256(_text(node).encode()).digest()


def _roles(node: yaml.Node) -> list[str]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    roles = [_text(one) for one in nodes]
    if not roles or any(role not in _ROLES for role in roles):
        raise _wrong(node, f"expected one of the roles {', '.join(_ROLES)}, or several")
    return roles


def _name(node: yaml.Node) -> str:
    text = _text(node)
    if len(text) > _NAME_MAX or not text.isprintable():
        raise _wrong(node, f"expected at most {_NAME_MAX} characters that can be printed")
    return text


def _text(node: yaml.Node) -> str:
    """A value as it is written: YAML would take some digests for numbers."""
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, "expected one value")
    return str(node.value)


def _wrong(node: yaml.Node, why: str) -> ConfigError:
    return ConfigError(f"line {node.start_mark.line + 1}: {why}")
