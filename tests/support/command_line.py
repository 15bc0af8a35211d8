"""``tunbridge`` as a user says it, in this process: the start of a process takes longer than all else that it does."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from typing import cast

import pytest

from controller.cli.commands import main


def tunbridge(*words: str, environment: Mapping[str, str] | None = None) -> CompletedProcess[str]:
    """What the command says and ends with. Not for one that serves, nor for two at a time.

    :param environment: variables beside those that we have
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tunbridge", *words])
        # Where a command chooses the hub before it refuses to start, it must not choose for this process.
        for name, value in {"OSKEN_HUB_TYPE": "native", **(environment or {})}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    return CompletedProcess(words, cast(int, ended.value.code), out.getvalue(), err.getvalue())
