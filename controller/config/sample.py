"""The sample file that ``tunbridge config sample`` prints: every option with what it is, commented out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from controller.config.config import about, declared_options
from controller.config.declaration import Declaration

_COLUMNS = 100


def sample() -> str:
    """The file as text; an option without a default stands there with the form of its values in its place."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _comment("Configuration of tunbridge: what is commented out is the default.")
    for name, options in declared_options().items():
        yield from ("", f"[{name}]")
        if text := about(name):
            yield from ("", *_comment(text))
        for option, declared in options.items():
            yield from ("", *_comment(declared.text), _setting(option, declared))


def _setting(name: str, declared: Declaration) -> str:
    """E.g. ``#of_listen_port = 6653``."""
    value = f"<{declared.form}>" if declared.default is None else declared.default
    return f"#{name} = {value}".rstrip()


def _comment(markdown: str) -> list[str]:
    """A paragraph as lines that the parser of the file passes over; of a link, its text and page."""
    text = re.sub(r"\[([^\]]+)\]\(([^)#]*)[^)]*\)", r"\1 (docs/\2)", markdown)
    wrapper = textwrap.TextWrapper(_COLUMNS, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return wrapper.wrap(text)
