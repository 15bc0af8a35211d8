"""Who keeps a controller's machine busy while ports are plugged: clients that list or watch, operators who apply.

As a program, each does its work in a loop until it is ended, says ``busy`` once it has begun, and
``done`` each time:
``neighbours.py list URL``, ``neighbours.py apply CONFIG-FILE DOCUMENT DOCUMENT`` or
``neighbours.py watch METRICS-URL API-URL CONFIG-FILE SECONDS``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def busy(*arguments: str) -> Iterator[Callable[[], int]]:
    """Have a neighbour work meanwhile.

    :param arguments: of the program
    :returns: how often it has done its work
    """
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        if process.stdout.readline() != "busy\n":
            raise RuntimeError(f"neighbour {arguments[0]} does not work")
        reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        yield lambda: len(lines)
        if process.poll() is not None:
            raise RuntimeError(f"neighbour {arguments[0]} has ended with status {process.returncode}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _list(url: str) -> Iterator[None]:
    while True:
        with urllib.request.urlopen(url) as answer:
            answer.read()
        yield


def apply_document(config_file: str, document: str) -> None:
    """``tunbridge apply``, however long it takes."""
    command = [sys.executable, "-m", "controller.cli.commands", "--config-file", config_file, "apply", document]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _apply(config_file: str, *documents: str) -> Iterator[None]:
    for document in cycle(documents):
        yield
        apply_document(config_file, document)


def _watch(metrics: str, api: str, config_file: str, seconds: str) -> Iterator[None]:
    """Read metrics every so often, and each event as it comes: as the API streams them, or else as the command does."""
    command = [sys.executable, "-m", "controller.cli.commands", "--config-file", config_file, "events", "--follow"]
    try:
        events: Any = urllib.request.urlopen(f"{api}/v2.0/tunbridge/events")
    except urllib.error.HTTPError:
        events = subprocess.Popen([*command, "--json"], cwd=ROOT, stdout=subprocess.PIPE).stdout
    threading.Thread(target=lambda: [None for _ in events], daemon=True).start()
    while True:
        with urllib.request.urlopen(metrics) as answer:
            answer.read()
        yield
        time.sleep(float(seconds))


def main(kind: str, arguments: Sequence[str]) -> None:
    """Work."""
    work = {"list": _list, "apply": _apply, "watch": _watch}[kind](*arguments)
    next(work)
    print("busy", flush=True)
    for _ in work:
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
