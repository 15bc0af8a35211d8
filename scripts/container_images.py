"""Builds the images of the Dockerfile from a copy of what it copies, with the package indexes of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.docker_engine import Engine

ROOT = Path(__file__).parents[1]
TARGETS = {"tunbridge": "tunbridge", "host": "tunbridge-host", "check": "tunbridge-check"}
"""Of the Dockerfile, and what docker-compose.yml calls the image of each."""

_PYTHON = (3, 11)
"""Of the base image: wheels for another Python would not fit in."""
_PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


class Images:
    """The images of one run.

    :param directory: for the build context; what is there is replaced
    :param tag: of all images
    """

    def __init__(self, engine: Engine, directory: Path, tag: str) -> None:
        self._engine = engine
        self._context = directory
        self._tag = tag
        self._arguments = [f"--build-arg={name}" for name in _PASSED_ON if name in os.environ]
        if engine.ours:
            self._arguments.append("--network=host")

    def stage(self) -> None:
        """Lay out the build context: the checkout, and wheels that this machine's pip finds."""
        shutil.rmtree(self._context, ignore_errors=True)
        self._context.mkdir(parents=True)
        for line in (ROOT / ".dockerignore").read_text().splitlines():
            if line.startswith("!") and (source := ROOT / line[1:]).exists():
                target = self._context / line[1:]
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
                else:
                    shutil.copy(source, target)
        shutil.copy(ROOT / "Dockerfile", self._context)
        if sys.version_info[:2] == _PYTHON and _wheels(self._context):
            self._arguments.append("--build-arg=PIP_NO_INDEX=1")

    def build(self, target: str, *, revision: str = "") -> int:
        """Build one image; its size in bytes.

        :param revision: a label of it; images of two revisions are two
        """
        image = self.name(target)
        labels = [f"--build-arg=REVISION={revision}"]
        self._engine.docker(
            *("build", "--quiet", "--target", target, "--tag", image, *self._arguments, *labels, str(self._context))
        )
        return int(self._engine.docker("image", "inspect", "--format", "{{.Size}}", image))

    def name(self, target: str) -> str:
        """Name and tag of an image."""
        return f"{TARGETS[target]}:{self._tag}"


def _wheels(context: Path) -> bool:
    """Gather what is to be installed as wheels, in ``wheelhouse`` of the build context; whether all of it was found."""
    directory = context / "wheelhouse"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(directory)]
    command += ["--constraint", str(ROOT / "constraints.txt"), str(context), "setuptools>=65"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=600).returncode:
        shutil.rmtree(directory, ignore_errors=True)
        return False
    for own in directory.glob("tunbridge-*"):  # the image has it built anew
        own.unlink()
    return True
