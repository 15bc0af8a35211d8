"""YAML text into plain values, without the ways in which YAML surprises or attacks its reader.

Values are built from the parser's events, not with ``yaml.load``: that one recurses, so that a file of a million
brackets kills the process in libyaml's binding; lets the last of two equal keys win; and expands aliases, so that a few
lines can stand for gigabytes. What a scalar without quotes means is decided here too: YAML 1.1 has numbers of base 60,
8 and 16, with underscores, dates and infinities, each of them a MAC address, a name or a version that was meant as
text, and PyYAML takes quadratic time for some.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable
from typing import Any

import yaml

from topology.errors import DocumentError

MAX_DEPTH = 32
"""Nesting that is accepted; a topology document needs 7."""

_MAX_QUOTED = 60  # characters of the document that an error repeats

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it

_EVENTS_A_REPORT = 10_000

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?")
"""Decimal, with a sign or a fraction. All else is text: ``010``, ``0x1f``, ``1_000``, ``1:30``, ``1e3``, ``.inf``."""

_WORDS = {
    spelling: value
    for value, words in ((True, "true yes on"), (False, "false no off"), (None, "null"))
    for word in words.split()
    for spelling in (word, word.capitalize(), word.upper())
} | {"": None, "~": None}
"""Words without quotes that are no text (YAML 1.1)."""

_OF_TEXT = frozenset(string.ascii_letters)
"""Letters that no number begins with."""

_TYPES: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:null": (type(None),),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
}
"""Tags that may be written out, beside that of text."""

_TEXT = ("!", "tag:yaml.org,2002:str")


def parse_yaml(text: str, progress: Callable[[float], None] | None = None) -> Any:
    """Return the one document in ``text`` as dicts, lists, text, numbers, booleans and None; None when it is empty.

    :param progress: is told now and then which part of the text is read, 0 to 1
    :raises DocumentError: it is not YAML, or uses a part of it that a topology document must not; names the line
    """
    builder = _Builder()
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_PARSER), start=1):
            builder.handle(event)
            if progress is not None and count % _EVENTS_A_REPORT == 0 and event.end_mark is not None:
                progress(min(1.0, event.end_mark.index / len(text)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(mark, error.problem or error.context or "it cannot be parsed") from None
    except yaml.YAMLError as error:
        raise DocumentError("", f"not YAML: {error}".splitlines()[0]) from None
    return builder.documents[0] if builder.documents else None


def _wrong(mark: Any, reason: str) -> DocumentError:
    return DocumentError("", f"line {mark.line + 1}, column {mark.column + 1}: {reason}" if mark else reason)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _scalar(event: yaml.ScalarEvent) -> Any:
    """What a scalar means.

    :raises DocumentError: it has a tag that is not accepted, or that does not go with its text
    """
    if event.tag is None:
        return _plain(event) if event.implicit[0] else event.value
    if event.tag in _TEXT:
        return event.value
    types = _TYPES.get(event.tag)
    if types is None:
        raise _wrong(event.start_mark, f"the tag {_tag(event.tag)} is not accepted")
    value = _plain(event)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise _wrong(event.start_mark, f"{_short(event.value)} is not what its tag {_tag(event.tag)} says")
    return value


def _plain(event: yaml.ScalarEvent) -> Any:
    """Of a scalar without quotes and tag."""
    text = event.value
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _OF_TEXT:  # as nearly all begin; "<<" does not
        return text
    if text == "<<":
        raise _wrong(event.start_mark, "a merge key (<<) is not accepted: write the keys out")
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    try:
        number = float(text) if found[2] else int(text)
        if not math.isinf(number):
            return number
    except (ValueError, OverflowError):  # an integer of thousands of digits, or of more than a float can stand for
        pass
    raise _wrong(event.start_mark, f"{_short(text)} has no meaning; quote it if it is text")


def _tag(tag: str) -> str:
    return tag if tag.isprintable() and len(tag) <= _MAX_QUOTED else _short(tag)


class _Builder:
    """Puts events together, keeping what is still open on a stack of its own."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self._open: list[tuple[Any, list[str]]] = [(self.documents, [])]
        """Collections, each with the key that waits for its value."""

    def handle(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(event, _scalar(event))
        elif isinstance(event, yaml.MappingStartEvent):
            self._push(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            self._push(event, [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _wrong(event.start_mark, f"an alias (*{event.anchor}) is not accepted: write the value out")
        elif isinstance(event, yaml.DocumentStartEvent) and self.documents:
            raise _wrong(event.start_mark, "a second document begins here: one file holds one")

    def _push(self, event: yaml.CollectionStartEvent, collection: Any) -> None:
        if len(self._open) > MAX_DEPTH:
            raise _wrong(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise _wrong(event.start_mark, f"the tag {_tag(event.tag)} is not accepted")
        self._add(event, collection)
        self._open.append((collection, []))

    def _add(self, event: yaml.NodeEvent, value: Any) -> None:
        collection, key = self._open[-1]
        if isinstance(collection, list):
            collection.append(value)
        elif key:
            collection[key.pop()] = value
        elif not isinstance(value, str):
            raise _wrong(event.start_mark, f"{_short(value)} is not a key: keys are text")
        elif value in collection:
            raise _wrong(event.start_mark, f"the key {_short(value)} occurs twice")
        else:
            key.append(value)
