"""A small file system of its own, so that a test can fill it or make it read-only; needs root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType


class SmallDisk:
    """A tmpfs at a directory; as a context manager it is gone afterwards, whatever still holds it.

    :param path: the directory, which is made
    """

    def __init__(self, path: Path, size: str = "2m") -> None:
        self.path = path
        self._size = size
        self._filling = path / "filling"

    def __enter__(self) -> SmallDisk:
        self.path.mkdir(parents=True)
        self._mount("-t", "tmpfs", "-o", f"size={self._size},mode=0700", "tmpfs")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self.path.is_mount():
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self) -> None:
        """Leave not a byte."""
        descriptor = os.open(self._filling, os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(descriptor, bytes(4096)) == 4096:
                pass
        except OSError:
            return
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Undo :meth:`fill`."""
        self._filling.unlink()

    def read_only(self) -> None:
        """Refuse to open anything for writing; what is open already stays writable."""
        self._mount("--bind", str(self.path))
        self._mount("-o", "remount,bind,ro")

    def writable(self) -> None:
        """Undo :meth:`read_only`."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self.path)], check=True)
