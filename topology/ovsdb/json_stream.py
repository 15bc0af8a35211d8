"""A faster parser for the JSON-RPC stream of OVSDB; :class:`topology.ovsdb.following_idl.FollowedSession` uses it.

Where the C extension of the ovs package could not be built, its parser takes a character at a time in Python: 1.4 MB/s,
several seconds for a snapshot of 10,000 ports, during which an eventlet process does nothing else. This one only looks
for the end of each message and leaves the rest to the standard library: some fifty times as fast.

The stream arrives in pieces that may end anywhere, inside a string or an escape too.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_WHOLE_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_REST_OF_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ADJACENT = re.compile(r"[}\]]\s*[{\[]")
"""A value that begins right after another one: within a message there is always a comma between."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_BLANK = " \t\r\n"


class MessageParser:
    """Takes one message from a stream, in place of an :class:`ovs.json.Parser`."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._done = False

    def feed(self, text: str) -> int:
        """Take the part of ``text`` that belongs to the message.

        :returns: how many characters that are; fewer than there are only when the message is complete
        """
        if self._done:
            return 0
        start = 0
        if not self._pieces:
            start = len(text) - len(text.lstrip(_BLANK))
            if start == len(text):
                return start
            if text[start] not in "{[":  # no message: finish() says so
                self._done = True
                self._pieces.append(text[start])
                return start + 1
        end = self._end(text, start)
        self._pieces.append(text[start:end])
        return end

    def is_done(self) -> bool:
        """True when the message is complete."""
        return self._done

    def finish(self) -> Any:
        """The message, or a text that says why it is none: what :class:`ovs.json.Parser` returns."""
        text = "".join(self._pieces)
        if not text.startswith(("{", "[")):
            return f"error: {text!r} does not begin a message"
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return f"error: {error}"

    def _end(self, text: str, start: int) -> int:
        """Where the message ends in ``text``, or the length of that."""
        if self._in_string:
            start = self._skip_string(text, start)
        skeleton = _WHOLE_STRING.sub("", text[start:])
        outside, quote, _ = skeleton.partition('"')
        depth = self._depth + sum(map(outside.count, "{[")) - sum(map(outside.count, "}]"))
        if depth <= 0 or _ADJACENT.search(outside):
            return self._walk(text, start)
        self._depth = depth
        if quote:
            self._open_string(text)
        return len(text)

    def _walk(self, text: str, start: int) -> int:
        """The same as :meth:`_end` token by token, for the piece that holds the end of a message."""
        for token in _TOKEN.finditer(text, start):
            symbol = token[0]
            if symbol in "{[":
                self._depth += 1
            elif symbol in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._done = True
                    return token.end()
            elif symbol == '"':
                self._open_string(text)
                break
        return len(text)

    def _open_string(self, text: str) -> None:
        """Note that ``text`` ends within a string, and whether it ends within an escape."""
        self._in_string = True
        self._escaped = (len(text) - len(text.rstrip("\\"))) % 2 == 1

    def _skip_string(self, text: str, start: int) -> int:
        """Where the string that an earlier piece began ends in ``text``, or the length of that."""
        if self._escaped and start < len(text):
            start += 1
            self._escaped = False
        rest = _REST_OF_STRING.match(text, start)
        if rest is None:
            self._open_string(text[start:])
            return len(text)
        self._in_string = False
        return rest.end()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
