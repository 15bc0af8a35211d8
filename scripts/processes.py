"""Child processes that never outlive us, whichever way either side ends.

Standard library only.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ProcessError(Exception):
    """A process did not start, or failed; the text says which, how, and what it wrote."""


class ChildProcess:
    """One running process.

    It has its own session, so that Ctrl-C on a terminal reaches us alone and we end it in the order that is right. The
    kernel ends it when we are killed (prctl(2), PR_SET_PDEATHSIG, by way of util-linux's setpriv).

    :param argv: the command
    :param name: in messages; None: the first word of the command
    :param log: file that its output is appended to; None: ours
    :param orphaned: the signal that it gets when we die without having stopped it
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str | None = None,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        orphaned: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name or Path(argv[0]).name
        self.log = log
        self._told: signal.Signals | None = None
        command = ["setpriv", "--pdeathsig", orphaned.name.removeprefix("SIG"), "--", *argv]
        output = None if log is None else log.open("ab")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that it wrote; empty when it writes to our output."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def require_running(self) -> None:
        """Raise when it has ended.

        :raises ProcessError: with the exit status and the end of its log
        """
        if self.status is not None:
            raise ProcessError(f"{self.name} ended with status {self.status}\n{self.log_tail()}".rstrip())

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; its exit status.

        :param timeout: seconds
        :raises ProcessError: it still runs after ``timeout``
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} (pid {self.pid}) still runs after {timeout} s") from None

    def tell(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to end, and do not wait for that; :meth:`stop` does."""
        self._told = signum
        if self.status is None:
            self._process.send_signal(signum)

    def stop(self, signum: signal.Signals = signal.SIGTERM, timeout: float = 60.0) -> int:
        """End it, by force where it does not end by itself; its exit status. Does nothing when it has ended already.

        :param timeout: seconds that it has until it gets SIGKILL
        """
        if self.status is None:
            if self._told is not signum:
                self._process.send_signal(signum)
            try:
                return self.wait(timeout)
            except ProcessError:
                self._process.kill()
        return self.wait()
