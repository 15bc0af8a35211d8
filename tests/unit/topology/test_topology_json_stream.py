"""The stream parser finds each message, wherever the pieces of the stream end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topology.ovsdb.json_stream import MessageParser

MESSAGES: list[Any] = [
    {},
    {"id": 1, "result": [{"rows": []}, {}], "error": None},
    {"a": '"{[\\', "b\\": "}]", "\\\\": ["\\", '\\"', "\\\\"], "": ""},
    {"nested": [[[{"x": [1, -2.5e3, True, None]}]]], "text": "\u00e4\u20ac\U0001f600 \x00"},
    {"method": "echo", "params": []},
]


def read(pieces: list[str]) -> list[Any]:
    """Parse a stream that arrives in these pieces, as the ovs package does."""
    found = []
    parser = None
    for piece in pieces:
        while piece:
            parser = parser or MessageParser()
            piece = piece[parser.feed(piece) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = None
    assert parser is None, "the last message is complete"
    return found


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("between", ["", " ", "\r\n\t "])
def test_split_at_every_place(ascii_only: bool, between: str) -> None:
    stream = between.join(json.dumps(message, ensure_ascii=ascii_only) for message in MESSAGES)
    for at in range(len(stream) + 1):
        assert read([stream[:at], stream[at:]]) == MESSAGES


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_in_pieces_of_one_size(size: int) -> None:
    stream = "".join(json.dumps(message) for message in MESSAGES * 3)
    assert read([stream[at : at + size] for at in range(0, len(stream), size)]) == MESSAGES * 3


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
"""All that UTF-8 can write; by default hypothesis is told the name of the codec, and tries out what that can."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[],: \n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"\\{}', max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(TEXT, VALUES), min_size=1, max_size=4), st.data())
def test_any_messages_in_any_pieces(messages: list[Any], data: st.DataObject) -> None:
    stream = "".join(json.dumps(message, ensure_ascii=False) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    assert read([stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]) == messages


@pytest.mark.parametrize(
    "text", ["HTTP/1.1 400 Bad Request", "5", '"text"', "{]", "{'a': 1}", '{"a": NaN}', '{"a"}', "}", '{"a": "\n"}']
)
def test_what_is_no_message_is_a_text_and_no_exception(text: str) -> None:
    parser = MessageParser()
    while text and not parser.is_done():
        text = text[parser.feed(text) :]
    assert parser.is_done()
    assert isinstance(parser.finish(), str)


def test_nesting_without_end_is_a_text_too() -> None:
    parser = MessageParser()
    parser.feed("[" * 200_000 + "]" * 200_000)
    assert parser.is_done()
    assert isinstance(parser.finish(), str)
