"""The ``openstack`` command, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_TIMEOUT = 120  # seconds


class Openstack:
    """The command against one API.

    :param url: of the API
    :param token: to be shown; None: no authentication
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._auth = {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": url}
        if token is not None:
            self._auth |= {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": token}

    def run(self, *args: str) -> str:
        """One command: its standard output."""
        done = self._start([*args], None)
        assert done.returncode == 0, f"openstack {' '.join(args)}: {done.stderr}"
        return done.stdout

    def fails(self, *args: str) -> str:
        """One command that must fail: its standard error."""
        done = self._start([*args], None)
        assert done.returncode != 0, f"openstack {' '.join(args)}: {done.stdout}"
        return done.stderr

    def batch(self, *commands: str) -> list[Any]:
        """Several commands that answer in JSON, in one process: its start takes some seconds; the answers."""
        answers, errors = self.script(*(f"{command} -f json" for command in commands))
        assert len(answers) == len(commands), errors
        return answers

    def script(self, *commands: str) -> tuple[list[Any], str]:
        """Several commands in one process: the JSON that they answer, where they do, and their standard error."""
        done = self._start([], "".join(f"{command}\n" for command in commands))
        answers, text = [], done.stdout.lstrip()
        while text:
            answer, end = json.JSONDecoder().raw_decode(text)
            answers.append(answer)
            text = text[end:].lstrip()
        return answers, done.stderr

    def environment(self) -> dict[str, str]:
        """Variables of the command's process."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {**ours, **self._auth, "COLUMNS": "250"}

    def _start(self, args: list[str], commands: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("openstack")), *args],
            env=self.environment(),
            input=commands or "",
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
