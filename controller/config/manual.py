"""The tables of docs/configuration.md, written out of the declarations of the options.

Run ``python -m controller.config.manual docs/configuration.md`` after changing one; a test holds that the page is what
this writes. What is before and after the tables is the page's own.
"""

from __future__ import annotations

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
    return f"{head}{BEGIN}\n\n{tables()}\n{END}{tail}"


def tables() -> str:
    """One section for each group, with one row for each option."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
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


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")
