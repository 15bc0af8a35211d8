"""The messages of the event stream, as many as there is room for, and those who read them.

A message is made once, whoever reads it. A reader is a place in the journal and nothing more: one who reads slowly
costs nobody anything, and what has left the journal before it came there is told to it as a gap. The form is that of
server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html.

The id of a message says from which process it is and its number there, and up to where the journal of this host's
controller was told with it: the next process of the API knows by that what a reader had of the controller's events.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

MESSAGES_MAX = 10_000
BYTES_MAX = 8 * 2**20
"""Of all messages together."""

HEARTBEAT = 10.0
"""Seconds without a message after which a reader is sent a comment."""

LIFETIME = 900.0
"""Seconds after which a stream ends and its reader has to come back, and so to show who it is once more: tokens expire,
and are taken away."""

_PART = 64 * 1024
"""Bytes that are sent at once, and then as much of the next message as there is of it."""

_REST = 0.05
"""Seconds between two parts for one reader, in which more may come: many events are not as many packets."""

_HEARTBEAT_LINE = b": \n\n"

_ID = re.compile(r"([0-9a-f]{8})-(\d{1,15})(?:-([0-9a-f]{12})-(\d{1,15}))?")


class JournalPlace(NamedTuple):
    """A place in the journal of a controller (:class:`controller.status.journal.Journal`).

    :param journal: which one; empty: none is known
    :param number: of the last event that is known of it
    """

    journal: str = ""
    number: int = 0


class Message(NamedTuple):
    """A message.

    :param text: as it is sent
    :param source: of a controller's event the place that it has there
    """

    text: bytes
    source: JournalPlace | None


class TooManyReaders(Exception):
    """As many read already as may."""


class StreamReader:
    """One who reads the stream; see :meth:`StreamJournal.subscribe`.

    :param after: number of the last message that it has
    :param known: what it has of a controller's events, from another process of the API
    :param first: what it is sent first
    """

    def __init__(self, journal: StreamJournal, after: int, known: JournalPlace, first: bytes) -> None:
        self.after = after
        self.known = known
        self.woken = asyncio.Event()
        self._journal = journal
        self._first = first

    async def parts(self) -> AsyncIterator[bytes]:
        """What is sent, for :data:`LIFETIME`, or until :meth:`StreamJournal.close`."""
        self._journal.loop = loop = asyncio.get_running_loop()
        until = loop.time() + LIFETIME
        yield self._first
        while not self._journal.closed and loop.time() < until:
            self.woken.clear()
            if part := self._journal.read(self):
                yield part
                await asyncio.sleep(_REST)
                continue
            try:
                await asyncio.wait_for(self.woken.wait(), min(HEARTBEAT, max(0.0, until - loop.time())))
            except asyncio.TimeoutError:
                yield _HEARTBEAT_LINE

    def close(self) -> None:
        """It reads no more."""
        self._journal.leave(self)


class StreamJournal:
    """The messages of one process; any thread may add some.

    :param most: messages
    :param most_bytes: of all of them
    """

    def __init__(self, most: int = MESSAGES_MAX, most_bytes: int = BYTES_MAX) -> None:
        self._epoch = uuid.uuid4().hex[:8]
        self._most, self._most_bytes = most, most_bytes
        self._guard = threading.Lock()
        self._messages: dict[int, Message] = {}
        self._first, self._last = 1, 0
        self._bytes = 0
        self._place = JournalPlace()
        self._readers: set[StreamReader] = set()
        self._is_waking = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """In which the readers are served."""
        self.closed = False
        self.missed = 0
        """Messages that had left the journal before a reader came to them, of all readers together."""

    @property
    def readers(self) -> int:
        """How many read."""
        return len(self._readers)

    @property
    def added(self) -> int:
        """How many messages there were so far."""
        return self._last

    def add(self, name: str, data: Mapping[str, Any], source: JournalPlace | None = None) -> None:
        """Have a message told to all.

        :param name: of the event
        :param source: of a controller's event its place
        """
        body = f"event: {name}\ndata: {json.dumps(data)}\n\n"
        with self._guard:
            self._last += 1
            self._place = source or self._place
            text = f"id: {self._id(self._last)}\n{body}".encode()
            self._messages[self._last] = Message(text, source)
            self._bytes += len(text)
            while len(self._messages) > self._most or self._bytes > self._most_bytes:
                self._bytes -= len(self._messages.pop(self._first).text)
                self._first += 1
            self._wake()

    def subscribe(self, last_event_id: str | None, most: int) -> StreamReader:
        """A new reader, which is to be closed.

        :param last_event_id: of the last message that it has; ``0``: none, and all that there are are wanted; None:
            those that come from now on
        :param most: readers at once
        :raises TooManyReaders: there are as many
        """
        with self._guard:
            if len(self._readers) >= most or self.closed:
                raise TooManyReaders
            here = f": from here on\nid: {self._id(self._last)}\n\n".encode()
            if last_event_id is None:
                reader = StreamReader(self, self._last, JournalPlace(), here)
            elif last_event_id == "0":
                reader = StreamReader(self, self._first - 1, JournalPlace(), _HEARTBEAT_LINE)
            else:
                reader = self._resumed(last_event_id)
            self._readers.add(reader)
            return reader

    def _resumed(self, last_event_id: str) -> StreamReader:
        found = _ID.fullmatch(last_event_id)
        if found is not None and found[1] == self._epoch and int(found[2]) <= self._last:
            return StreamReader(self, int(found[2]), JournalPlace(), _HEARTBEAT_LINE)
        known = JournalPlace(found[3] or "", int(found[4] or 0)) if found is not None else JournalPlace()
        return StreamReader(self, self._first - 1, known, gap(None))

    def leave(self, reader: StreamReader) -> None:
        """A reader reads no more."""
        with self._guard:
            self._readers.discard(reader)

    def read(self, reader: StreamReader) -> bytes:
        """What is next for a reader, which has it then; empty: nothing yet."""
        parts: list[bytes] = []
        size = 0
        with self._guard:
            if (missed := self._first - 1 - reader.after) > 0:
                parts.append(gap(missed))
                reader.after += missed
                self.missed += missed
            while size < _PART and reader.after < self._last:
                reader.after += 1
                text, source = self._messages[reader.after]
                if source is None or source.journal != reader.known.journal or source.number > reader.known.number:
                    parts.append(text)
                    size += len(text)
        return b"".join(parts)

    def close(self) -> None:
        """End the streams of all readers."""
        with self._guard:
            self.closed = True
            self._wake()

    def _id(self, number: int) -> str:
        journal, told = self._place
        return f"{self._epoch}-{number}-{journal}-{told}" if journal else f"{self._epoch}-{number}"

    def _wake(self) -> None:
        """Once for many messages; called with the lock held."""
        if self._readers and self.loop is not None and not self._is_waking:
            self._is_waking = True
            with contextlib.suppress(RuntimeError):  # it has ended
                self.loop.call_soon_threadsafe(self._wake_readers)

    def _wake_readers(self) -> None:
        with self._guard:
            self._is_waking = False
            for reader in self._readers:
                reader.woken.set()


def gap(missed: int | None) -> bytes:
    """What a reader is told that has missed messages; it has no id: what was read last is as before.

    :param missed: how many; None: it is not known
    """
    return f"event: gap\ndata: {json.dumps({'missed': missed})}\n\n".encode()
