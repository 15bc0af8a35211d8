"""The log when its file cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.logs import configure

LOG = logging.getLogger("a.part")


@pytest.fixture
def root() -> Iterator[None]:
    """Puts the loggers back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.usefixtures("root")
def test_a_full_disk_sends_the_log_to_stderr_until_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody who logs fails; each record is in the file or on stderr, once, and what is wrong is said once."""
    path = tmp_path / "log"
    configure(False, str(path))
    LOG.info("first")
    for turn in range(2):
        path.unlink()
        path.symlink_to("/dev/full")
        LOG.info("second %d", turn)
        LOG.info("third %d", turn)
        path.unlink()
        LOG.info("fourth %d", turn)
        LOG.info("fifth %d", turn)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == f"{path} cannot be written (No space left on device): the log goes here"
        assert [line.split(" a.part ")[-1] for line in lines[1:]] == [f"second {turn}", f"third {turn}"]
        written = path.read_text().splitlines()
        assert [line.split(" a.part ")[-1] for line in written] == [f"fourth {turn}", f"fifth {turn}"]


@pytest.mark.usefixtures("root")
def test_a_directory_that_has_gone_sends_the_log_to_stderr_until_it_is_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same when the file cannot even be opened."""
    path = tmp_path / "logs" / "log"
    path.parent.mkdir()
    configure(False, str(path))
    LOG.info("first")
    path.unlink()
    path.parent.rmdir()
    LOG.info("second")
    LOG.info("third")
    path.parent.mkdir()
    LOG.info("fourth")
    assert "fourth" in path.read_text() and "third" not in path.read_text()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[-1] for line in lines[1:]] == ["second", "third"]
