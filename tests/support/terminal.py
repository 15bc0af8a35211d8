"""A program on a real terminal (pty(7)): what it shows, what it is told, and what it leaves of the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.waiting import wait_until

_CONTROL = re.compile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r|\x1b[=>]")
_NEXT_LINE = re.compile("\x1b\\[([2-9]|[1-9][0-9]+);1H")

_CLEARED = re.compile("\x1b\\[(?:H|2J|1;1H)")
"""With these a screen is drawn anew."""


class Terminal:
    """A context manager: the program has been started, and has ended when it is left.

    :param command: what to start
    :param folder: where
    """

    def __init__(self, command: Sequence[str], folder: Path, columns: int = 140, lines: int = 30) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self._theirs)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "env", "--default-signal=INT", *command],
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
        )
        self.written = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def screen(self) -> str:
        """What it shows: the last screen that was drawn as a whole, and what came after it, without colours."""
        screens = ["", *(_CONTROL.sub("", _NEXT_LINE.sub("\n", one)) for one in _CLEARED.split(self.written))]
        return screens[-1] if screens[-1].count("\n") >= screens[-2].count("\n") else screens[-2]

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give it another size, of which it is told."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_shown(self, pattern: str) -> re.Match[str]:
        """Wait until something is shown."""
        found = wait_until(
            lambda: re.search(pattern, self.screen, re.MULTILINE), 60, lambda: f"{pattern}\n{self.screen}"
        )
        assert found is not None
        return found

    def wait_ended(self) -> int:
        """Wait until the program ends; its status. The terminal is as it was then."""
        status = self.process.wait(60)
        assert termios.tcgetattr(self._theirs) == self.before
        return status

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.press("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
        os.close(self._theirs)
        self._thread.join(20)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65536):
                self.written += data.decode(errors="replace")
