"""A faster parser for the JSON-RPC stream of OVSDB; :class:`topology.ovsdb.following_idl.FollowedSession` uses it.

Where the C extension of the ovs package could not be built, its parser takes a character at a time in Python: 1.4 MB/s,
several seconds for a snapshot of 10,000 ports, during which an eventlet process does nothing else. This one only counts
brackets until a message may be complete and leaves the rest to the standard library: some fifty times as fast.

The stream arrives in pieces that may end anywhere, inside a string or an escape too.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import ovs.json
from ovs.jsonrpc import Session

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_ADJACENT = re.compile(r"[}\]]\s*[{\[]")
"""A value that begins right after another one: within a message there is always a comma between."""

_BLANK = " \t\r\n"


class MessageParser:
    """Takes one message from a stream, in place of an :class:`ovs.json.Parser`."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._backslash = ""
        self._message: Any = None
        self._done = False

    def feed(self, text: str) -> int:
        """Take the part of ``text`` that belongs to the message.

        :returns: how many characters that are; fewer than there are only when the message is complete
        """
        start = 0 if self._pieces else len(text) - len(text.lstrip(_BLANK))
        if start < len(text):
            self._pieces.append(text[start:])
            if self._may_be_complete(text[start:]):
                return len(text) - self._decode()
        return len(text)

    def is_done(self) -> bool:
        """True when the message is complete."""
        return self._done

    def finish(self) -> Any:
        """The message, or a text that says why it is none: what :class:`ovs.json.Parser` returns."""
        return self._message

    def _may_be_complete(self, text: str) -> bool:
        """Follow the brackets outside of strings in one more piece."""
        unescaped = _ESCAPE.sub("", self._backslash + text)
        self._backslash = "\\" if unescaped.endswith("\\") else ""
        parts = unescaped.split('"')
        outside = "".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        self._depth += sum(map(outside.count, "{[")) - sum(map(outside.count, "}]"))
        return self._depth <= 0 or _ADJACENT.search(outside) is not None

    def _decode(self) -> int:
        """Returns how many characters follow the message."""
        text = "".join(self._pieces)
        self._done = True
        try:
            self._message, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            self._message = f"error: {error}"
            return 0
        if not isinstance(self._message, (dict, list)):
            self._message = f"error: {text[:1]!r} does not begin a message"
        return len(text) - end


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def use_fast_parser(session: Session) -> None:
    """Have the next message of a session parsed so; its connection drops the parser after each."""
    if session.rpc is not None and session.rpc.parser is None and ovs.json.PARSER != ovs.json.PARSER_C:
        session.rpc.parser = MessageParser()
