"""What a lab has of the machine, and how it is given back, also when the lab was killed.

Each lab has a directory whose lock it holds while it lives: the kernel lets go of it with the process, so that a lab
whose lock is free is dead, whatever its process id is used for today. The names of its namespaces begin with the
directory's name, and its processes are found by their namespaces.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tests.support.lab.netns import Namespace, end_processes, names_with

_RUN = Path("/run")  # only root can write here, and processes and directories are ended and removed by what is here
PREFIX = "tunlab-"
"""Of the directory of a lab, and so of all its namespaces."""

_numbers = itertools.count(1)


def claim() -> tuple[Path, TextIO]:
    """Make the directory of a new lab; it and its lock, which holds until the file is closed.

    What dead labs have left behind is removed first.
    """
    with alone():
        _remove_dead()
        directory = _RUN / f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        directory.mkdir()
        lock = (directory / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return directory, lock


def remove(directory: Path) -> None:
    """End every process of a lab, delete its namespaces and remove its files."""
    names = names_with(f"{directory.name}-")
    end_processes(names)
    for name in names:
        Namespace(name).delete()
    for link in directory.rglob("*"):
        if link.is_symlink():  # to a directory that a process of the lab has elsewhere
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(directory)


def remove_dead() -> list[str]:
    """Remove what labs have left behind whose process is gone; their names."""
    with alone():
        return _remove_dead()


def _remove_dead() -> list[str]:
    dead = []
    for directory in sorted(_RUN.glob(f"{PREFIX}*")):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it lives
            remove(directory)
            dead.append(directory.name)
    return dead


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else makes or removes a lab meanwhile: one that is half made has no lock yet."""
    descriptor = os.open(_RUN, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
