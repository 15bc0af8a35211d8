"""Logging in a process of its own: format, levels, files, and what a guest may put into a name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller.runtime.printable_text import printable

ROOT = Path(__file__).resolve().parents[3]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ [\w.]+ ")


def logged(code: str, debug: bool = False, log_file: Path | None = None) -> list[str]:
    """Run code after the set-up; what it wrote on stderr, by line."""
    where = str(log_file) if log_file else None
    code = f"import logging; from controller.runtime import logs; logs.configure({debug}, {where!r})\n{code}"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_record_is_a_line() -> None:
    [line] = logged("logging.getLogger('controller.x').info('port %s: bound', 'tap1')")
    assert LINE.match(line) and line.endswith(" INFO controller.x port tap1: bound")


def test_names_cannot_forge_lines() -> None:
    [line] = logged("logging.getLogger('a').warning('port %s: x', 'tap\\n2030-01-01 forged \\x1b[2J\\u2028\\u202e')")
    assert line.endswith(r" WARNING a port tap\n2030-01-01 forged \x1b[2J\u2028\u202e: x")


def test_tracebacks_are_continuations() -> None:
    first, *rest = logged(
        "try: raise ValueError('bad\\n2030-01-01 forged')\nexcept ValueError: logging.getLogger('a').exception('no')"
    )
    assert first.endswith(" ERROR a no")
    assert rest[0] == "  | Traceback (most recent call last):"
    assert rest[-2:] == ["  | ValueError: bad", "  | 2030-01-01 forged"]
    assert all(line.startswith("  | ") for line in rest)


def test_libraries_are_quiet_unless_debug() -> None:
    libraries = ("os_ken.base", "ovsdbapp.backend", "eventlet.x")
    code = (
        f"for library in {libraries}:\n"
        "  log = logging.getLogger(library); log.debug('1'); log.info('2'); log.warning('3')"
    )

    def said(debug: bool) -> list[tuple[str, str]]:
        return [(line.split()[-2], line[-1]) for line in logged(code, debug=debug)]

    assert said(False) == [(library, "3") for library in libraries]
    assert said(True) == [(library, level) for library in libraries for level in "123"]


def test_our_own_levels() -> None:
    code = "log = logging.getLogger('controller'); log.debug('1'); log.info('2')"
    assert [line[-1] for line in logged(code)] == ["2"]
    assert [line[-1] for line in logged(code, debug=True)] == ["1", "2"]


def test_an_ovsdb_that_is_away_does_not_fill_the_log(tmp_path: Path) -> None:
    code = (
        "import ovs.jsonrpc, time\n"
        f"session = ovs.jsonrpc.Session.open('unix:{tmp_path}/nobody', True)\n"
        "session.reconnect.set_backoff(1, 1)\n"
        "end = time.monotonic() + 0.5\n"
        "while time.monotonic() < end: session.run(); time.sleep(0.01)\n"
    )
    assert logged(code) == []
    assert any("connection attempt failed" in line for line in logged(code, debug=True))


def test_errors_of_the_ovsdb_client_are_logged() -> None:
    [line] = logged("import ovs.vlog; ovs.vlog.Vlog('idl').err('100% wrong')")
    assert LINE.match(line) and line.endswith(" 100% wrong")


def test_log_file_and_rotation(tmp_path: Path) -> None:
    log, moved = tmp_path / "log", tmp_path / "log.1"
    code = (
        "import os; log = logging.getLogger('a'); log.info('one \\udc80')\n"
        f"os.rename({str(log)!r}, {str(moved)!r}); log.info('two')"
    )
    assert logged(code, log_file=log) == []
    assert moved.read_text().endswith(" INFO a one \\udc80\n")
    assert log.read_text().endswith(" INFO a two\n")


def test_a_log_directory_that_goes_away_fails_no_caller(tmp_path: Path) -> None:
    log = tmp_path / "d" / "log"
    log.parent.mkdir()
    code = (
        f"import shutil, sys; shutil.rmtree({str(log.parent)!r})\n"
        "logging.getLogger('a').info('x'); print('on', file=sys.stderr)"
    )
    assert logged(code, log_file=log)[-1] == "on"


@pytest.mark.parametrize(("where", "reason"), [("missing/log", "No such file or directory"), ("", "Is a directory")])
def test_a_log_file_that_cannot_be_written(tmp_path: Path, where: str, reason: str) -> None:
    path = os.path.join(tmp_path, where)
    code = (
        "from controller.runtime import logs; from topology.errors import ConfigError\n"
        f"try: logs.configure(False, {path!r})\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"[DEFAULT] log_file = {path!r}: cannot write there: {reason}\n"


def test_configure_again_replaces() -> None:
    [line] = logged("logs.configure(True, None); logging.getLogger('a').debug('once')")
    assert line.endswith(" DEBUG a once")


def test_printable_keeps_what_can_be_read() -> None:
    assert printable("Zürich 東京 ✓") == "Zürich 東京 ✓"
    assert printable("a\tb\x00\x7f\x9b") == r"a\tb\x00\x7f\x9b"
