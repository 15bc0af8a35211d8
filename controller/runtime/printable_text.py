"""Text that is safe to show, whatever a guest names its port; it needs no log, which commands that ask do not have."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with everything that is not printable written as an escape, e.g. ``\n`` or ``\x1b``.

    Names of ports and external_ids come from whoever may plug a device: they must not forge a line, nor reach a
    terminal as a command.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
