"""Flow tables as text files under tests/golden, which a change of the pipeline shows as a difference to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "golden"


class Golden:
    """Compares with golden files.

    :param update: write them anew instead (``pytest --update-golden``)
    """

    def __init__(self, update: bool) -> None:
        self._update = update

    def check(self, name: str, lines: Sequence[str]) -> None:
        """Compare a flow table with tests/golden/NAME.

        :raises AssertionError: they differ, or there is no such file
        """
        path = FOLDER / name
        text = "".join(f"{line}\n" for line in lines)
        if self._update:
            path.write_text(text)
            return
        assert path.exists(), f"{path} is missing: make it with --update-golden, and read what it says"
        assert text == path.read_text(), f"not as in {path} (--update-golden writes it anew)"
