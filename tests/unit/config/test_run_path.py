"""The one option that is read without all others: it is what oslo.config says, or it is left to oslo.config."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.config import config
from controller.config.option_reader import DEFAULT, OptionReader
from controller.config.run_path import plain_run_path
from topology.errors import ConfigError

_PLAIN = ["/run/a", "/run/b", '"/run/quoted"', "'/run/half", "/run/ä", "/run/\x85b", "/a\tb"]
_WRONG = ["", "relative", "/" + "r" * 92, "/" + "r" * 93]
_REFERRING = ["/run/$host", "/run/$$x", "/run/${state_path}", "/run/\\$x", "$run_path"]
_VALUES = st.one_of(
    st.sampled_from(_PLAIN + _WRONG + _REFERRING),
    st.text(st.sampled_from("/ab \t'\"$#;:=[]\\é\x0b\x1c\u2028"), max_size=8),
)
_SECTIONS = ["[DEFAULT]"] * 3 + ["[default]", "[ovs]", "[]", "[ovs"]
_LINES = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from(["run_path", "run-path", "RUN_PATH"]), st.sampled_from("=:"), _VALUES),
    st.builds("run_path = {}".format, _VALUES),
    st.builds("host = {}".format, _VALUES),
    st.builds("  {}".format, _VALUES),
    st.sampled_from([*_SECTIONS, "", "# ä", "; x", "junk"]),
)
_FILES = st.lists(st.builds("\n".join, st.lists(_LINES, max_size=8)).map(str.encode), max_size=3)


def by_oslo(files: Sequence[str]) -> str | None:
    """The same by what reads all other options; None: it finds something wrong."""
    declared = config.declared_options()
    try:
        return str(OptionReader(files, declared).value(DEFAULT, "run_path", declared[DEFAULT]["run_path"]))
    except ConfigError:
        return None


@settings(max_examples=300, deadline=None)
@given(_FILES)
@example([b"[DEFAULT]\nrun_path = /run/a\nrun_path = /run/b\n", b"[ovs]\nrun_path = /run/c\n"])
@example([b"[DEFAULT]\nrun_path = /run/a\n", b"[DEFAULT]\nrun_path = /run/$host\nhost = h1\n"])
@example([b"[DEFAULT]\nrun_path = /run/a\n", b"\xff"])
@example([b"run_path = /run/a\n"])
@example([b"[DEFAULT]\r\nrun_path = /run/a\r\n"])
@example([b"\xef\xbb\xbf[DEFAULT]\nrun_path = /run/a\n"])
def test_it_is_what_oslo_config_says(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        files = [str(Path(directory, str(number))) for number in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            Path(file).write_bytes(content)
        found = plain_run_path(files)
        assert found is None or found == by_oslo(files)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([], "/run/tunbridge"),
        (["[ovs]\nlocal_ip = 192.0.2.1\n"], "/run/tunbridge"),
        (["# für h1\n[DEFAULT]\nhost = $x\nrun_path = /run/a\n\n[agent]\ntunnel_types = nonsense\n"], "/run/a"),
        (["[DEFAULT]\nrun_path = $x\n", '[DEFAULT]\nrun_path: "/run/b"\n', "[ovs]\n"], "/run/b"),
    ],
)
def test_what_is_usual_takes_no_more(
    contents: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside a variable that oslo.config would read where it is told to."""
    monkeypatch.setenv("OS_DEFAULT__RUN_PATH", "/run/environment")
    files = [tmp_path / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(content)
    names = list(map(str, files))
    assert plain_run_path(names) == by_oslo(names) == expected


def test_a_link_to_a_file_is_one_and_a_pipe_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("[DEFAULT]\nrun_path = /run/a\n")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert plain_run_path([str(tmp_path / "link")]) == "/run/a"
    assert plain_run_path([str(tmp_path / "pipe")]) is None
    assert plain_run_path([str(tmp_path / "missing")]) is None


def test_options_may_come_from_elsewhere(tmp_path: Path) -> None:
    """Those that oslo.config fetches (``config_source``) hold over those of files."""
    file = tmp_path / "file"
    file.write_text("[DEFAULT]\nconfig_source = fetched\nrun_path = /run/a\n")
    assert plain_run_path([str(file)]) is None
