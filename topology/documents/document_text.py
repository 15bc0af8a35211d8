"""The text of a document, and nothing of what it means: a command has it before it loads what reads YAML."""

from __future__ import annotations

import os
from pathlib import Path

from topology.errors import DocumentError

MAX_BYTES = 16 * 2**20
"""Size of a file that is accepted: some 100,000 ports."""


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a document, all of it, also of a pipe.

    :raises DocumentError: there is no such file, it cannot be read, or it is no text
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DocumentError("", f"{path}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise DocumentError("", f"{path}: is larger than {MAX_BYTES >> 20} MiB; apply it in parts")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("", f"{path}: is not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}") from None
