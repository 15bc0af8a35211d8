"""What people read of the options, written out of their declarations: the sample file and the tables of the manual.

Run ``python -m controller.config.manual docs/configuration.md`` after changing one; a test holds that the page is what
this writes. What is before and after the tables is the page's own.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from controller.config.config import about, declared_options
from controller.config.declaration import Declaration

BEGIN = "<!-- Written by `python -m controller.config.manual docs/configuration.md` out of controller/config. -->"
END = "<!-- To here. -->"

_COLUMNS = 120


def page(text: str) -> str:
    """The page with its tables as they are to be.

    :param text: the page as it is
    :raises ValueError: it has no place for tables
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return "\n".join([f"{head}{BEGIN}\n", *_tables(), f"\n{END}{tail}"])


def _tables() -> Iterator[str]:
    """One section for each group, with one row for each option."""
    between = ""
    for name, options in declared_options().items():
        yield f"{between}## [{name}]\n"
        if text := about(name):
            yield textwrap.fill(text, _COLUMNS, break_on_hyphens=False) + "\n"
        yield from ("| option | default | meaning |", "| --- | --- | --- |")
        yield from (_row(option, declared) for option, declared in options.items())
        between = "\n"


def _row(name: str, declared: Declaration) -> str:
    """E.g. ``| `of_listen_port` | `6653` | TCP port of these connections |``."""
    default = {None: "—", "": ""}.get(declared.default, f"`{declared.default}`")
    return f"| `{name}` | {default} | {declared.text.replace('|', chr(92) + '|')} |".replace("|  |", "| |")


def sample() -> str:
    """What ``tunbridge config sample`` prints: every option commented out, one without a default with its form."""
    return "\n".join(_sample_lines()) + "\n"


def _sample_lines() -> Iterator[str]:
    yield from _comment("Configuration of tunbridge: what is commented out is the default.")
    for name, options in declared_options().items():
        yield from ("", f"[{name}]")
        if text := about(name):
            yield from ("", *_comment(text))
        for option, declared in options.items():
            value = f"<{declared.form}>" if declared.default is None else declared.default
            yield from ("", *_comment(declared.text), f"#{option} = {value}".rstrip())


def _comment(markdown: str) -> list[str]:
    """A paragraph as lines that the parser of the file passes over; of a link, its text and page."""
    text = re.sub(r"\[([^\]]+)\]\(([^)#]*)[^)]*\)", r"\1 (docs/\2)", markdown)
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")
