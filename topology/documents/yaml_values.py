"""YAML text into plain values, without the ways in which YAML surprises or attacks its reader.

Values are built from the parser's events, not with ``yaml.load``: that one recurses, so that a file of a million
brackets kills the process in libyaml's binding; lets the last of two equal keys win; and expands aliases, so that a few
lines can stand for gigabytes.
"""

from __future__ import annotations

from typing import Any

import yaml

from topology.errors import DocumentError

MAX_DEPTH = 32
"""Nesting that is accepted; a topology document needs 7."""

_MAX_QUOTED = 60  # characters of the document that an error repeats

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it


def parse_yaml(text: str) -> Any:
    """Return the one document in ``text`` as dicts, lists and scalars of YAML 1.1's safe types; None when it is empty.

    :raises DocumentError: it is not YAML, or uses a part of it that a topology document must not; names the line
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            builder.handle(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(mark, error.problem or error.context or "it cannot be parsed") from None
    except yaml.YAMLError as error:
        raise DocumentError("", f"not YAML: {error}".splitlines()[0]) from None
    return builder.value


def _wrong(mark: Any, reason: str) -> DocumentError:
    return DocumentError("", f"line {mark.line + 1}, column {mark.column + 1}: {reason}" if mark else reason)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


class _Scalars(yaml.SafeLoader):
    """Resolves and converts single scalars."""

    def __init__(self) -> None:
        super().__init__("")

    def value(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        node = yaml.ScalarNode(tag, event.value, mark)
        try:
            return self.construct_object(node)
        except ValueError:  # a date such as 2024-13-40, or an integer of thousands of digits
            raise _wrong(event.start_mark, f"{_short(event.value)} has no meaning; quote it if it is text") from None


class _Builder:
    """Puts events together, keeping what is still open on a stack of its own."""

    def __init__(self) -> None:
        self.value: Any = None
        self._open: list[Any] = []
        self._keys: list[Any] = []
        self._scalars = _Scalars()
        self._documents = 0

    def handle(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(event, self._scalars.value(event))
        elif isinstance(event, yaml.MappingStartEvent):
            self._push(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            self._push(event, [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _wrong(event.start_mark, f"an alias (*{event.anchor}) is not accepted: write the value out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _wrong(event.start_mark, "a second document begins here: one file holds one")

    def _push(self, event: yaml.CollectionStartEvent, collection: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _wrong(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise _wrong(event.start_mark, f"the tag {event.tag} is not accepted")
        self._add(event, collection)
        self._open.append(collection)
        self._keys.append(_NO_KEY)

    def _add(self, event: yaml.NodeEvent, value: Any) -> None:
        if not self._open:
            self.value = value
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
        elif self._keys[-1] is _NO_KEY:
            self._keys[-1] = self._key(event, value)
        else:
            self._open[-1][self._keys[-1]] = value
            self._keys[-1] = _NO_KEY

    def _key(self, event: yaml.NodeEvent, value: Any) -> str:
        if not isinstance(value, str):
            raise _wrong(event.start_mark, f"{_short(value)} is not a key: keys are text")
        if value in self._open[-1]:
            raise _wrong(event.start_mark, f"the key {_short(value)} occurs twice")
        return value


_NO_KEY = object()
"""A mapping that waits for its next key."""
