"""Runs ``openstack`` commands one after the other in one process, each as if it were alone: its start takes seconds.

Each line of standard input is a JSON list of arguments, each line of standard output one of status, output and errors.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from openstackclient import shell


def run(argv: list[str]) -> tuple[int, str, str]:
    """One command: its exit status, standard output and standard error."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            status = shell.main(argv)
        except SystemExit as end:
            status = 0 if end.code is None else 2
    return status, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
