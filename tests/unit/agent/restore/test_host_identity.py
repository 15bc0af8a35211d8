"""The id of an installation: made once, the same for ever, and never guessed."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from controller.agent.restore.host_identity import installation_id
from topology.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]

ASK = """
import sys
from controller.agent.restore.host_identity import installation_id
print("ready", flush=True)
sys.stdin.readline()
print(installation_id(sys.argv[1]))
"""


def test_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "not" / "there"
    made = installation_id(str(state))
    assert str(uuid.UUID(made)) == made
    assert installation_id(str(state)) == made
    assert os.listdir(state) == ["host-id"]
    assert (state / "host-id").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert installation_id(str(tmp_path / "other")) != made


def test_an_id_that_was_put_there_is_used_in_its_canonical_form(tmp_path: Path) -> None:
    (tmp_path / "host-id").write_text("4D0C1A2B-0000-4000-8000-00000000000A\n")
    assert installation_id(str(tmp_path)) == "4d0c1a2b-0000-4000-8000-00000000000a"


def test_whoever_asks_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, state], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    try:
        for asker in askers:
            assert asker.stdout is not None
            assert asker.stdout.readline() == "ready\n"
        for asker in askers:
            assert asker.stdin is not None
            asker.stdin.write("go\n")
            asker.stdin.flush()
        answers = {asker.communicate(timeout=60)[0] for asker in askers}
    finally:
        for asker in askers:
            asker.kill()
            asker.communicate()
    assert answers == {f"{installation_id(state)}\n"}
    assert os.listdir(state) == ["host-id"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"h1\n", b"\xff\xfe\x00", b"4d0c1a2b-0000-4000-8000-00000000000a more", b"0" * 100_000],
    ids=["empty", "blank", "a name", "binary", "more than a UUID", "long"],
)
def test_anything_else_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "host-id"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold the id of this installation") as caught:
        installation_id(str(tmp_path))
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert file.read_bytes() == content


def test_what_cannot_be_read_or_made_is_said_with_its_path_and_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"Not a directory|File exists") as caught:
        installation_id(str(tmp_path / "file"))
    assert str(tmp_path / "file" / "host-id") in str(caught.value)
    (tmp_path / "taken" / "host-id").mkdir(parents=True)
    with pytest.raises(ConfigError, match="Is a directory"):
        installation_id(str(tmp_path / "taken"))
    # Nobody, root included, makes files in /proc.
    with pytest.raises(ConfigError, match="/proc/tunbridge/host-id, cannot be read or made"):
        installation_id("/proc/tunbridge")
