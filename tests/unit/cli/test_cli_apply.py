"""``tunbridge topology serve`` and ``tunbridge apply`` with a real topology database."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import tunbridge
from tests.support.raw_ovsdb import wait_answers
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
DEMO = str(ROOT / "examples/demo.yaml")


class Database:
    """``tunbridge topology serve`` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config_file = str(directory / "tunbridge.conf")
        Path(self.config_file).write_text(f"[DEFAULT]\nrun_path = {directory}/run\nstate_path = {directory}/state\n")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller.cli.commands", "topology", "serve", "--config-file", self.config_file],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        wait_until(self._listens, 60, "the topology database listens")
        wait_answers(f"unix:{self.directory}/run/topology.sock")

    def _listens(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "the topology database does not start"
        return (self.directory / "run/topology.sock").exists()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def clean_up(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.stop()
            self.process.communicate()
        pidfile = self.directory / "state/topology.pid"
        if pidfile.exists():  # a test has killed the command, and the server has a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)

    def apply(self, *args: str) -> subprocess.CompletedProcess[str]:
        return tunbridge("--config-file", self.config_file, "apply", *args)

    def servers(self) -> list[str]:
        """Command lines of processes that use the directory."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if f"{self.directory}/" in words and "ovsdb-server" in words:
                    found.append(words)
        return found


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    try:
        yield made
    finally:
        made.clean_up()


def test_apply(database: Database) -> None:
    database.start()
    network = "network demo_net1 (c4d8b48b-6ff7-43b6-a203-8f1192a16f07): "
    tried = database.apply(DEMO, "--dry-run")
    assert (tried.returncode, tried.stderr) == (0, "")
    assert any(line.startswith(f"create {network}") for line in tried.stdout.splitlines())
    made = database.apply(DEMO)
    assert (made.returncode, made.stderr) == (0, "")
    assert any(line.startswith(f"create {network}") for line in made.stdout.splitlines()), "the dry run changed nothing"
    again = database.apply(DEMO)
    assert (again.returncode, again.stdout, again.stderr) == (0, "nothing to change\n", "")
    empty = database.directory / "empty.yaml"
    empty.write_text("networks: []\n")
    assert database.apply(str(empty)).stdout == "nothing to change\n"
    pruned = database.apply(str(empty), "--prune")
    assert (pruned.returncode, pruned.stderr) == (0, "")
    assert any(line.startswith("delete network demo_net1 (c4d8b48b-") for line in pruned.stdout.splitlines())


def test_a_document_from_a_pipe_is_compared_with_what_is_there_when_it_ends(database: Database, tmp_path: Path) -> None:
    database.start()
    document = tmp_path / "d.yaml"
    document.write_text("networks:\n- {name: n, provider:segmentation_id: 1, provider:network_type: gre}\n")
    assert database.apply(str(document)).returncode == 0
    pipe, argv = tmp_path / "pipe", [sys.executable, "-m", "controller.cli.commands", "--config-file"]
    os.mkfifo(pipe)
    with subprocess.Popen(
        [*argv, database.config_file, "apply", str(pipe)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as waiting:
        with pipe.open("w") as end:  # it has begun
            document.write_text(document.read_text().replace("id: 1", "id: 2"))
            assert database.apply(str(document)).returncode == 0
            end.write(document.read_text().replace("id: 2", "id: 1"))
        output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and output.startswith("update network n ")


def test_apply_to_another_database(database: Database, tmp_path: Path) -> None:
    database.start()
    other = tmp_path / "other.conf"
    other.write_text(f"[DEFAULT]\nrun_path = {tmp_path}/elsewhere\n")
    connection = f"unix:{tmp_path}/run/topology.sock"
    database.config_file = str(other)
    assert database.apply(DEMO, "--topology", connection).returncode == 0
    assert database.apply(DEMO, "--topology", connection).stdout == "nothing to change\n"


def test_ranges_of_the_configuration_are_used(database: Database, tmp_path: Path) -> None:
    database.start()
    with open(database.config_file, "a") as file:
        file.write("[network]\ntenant_network_type = vxlan\ntunnel_id_ranges = 77:77\n")
    document = tmp_path / "d.yaml"
    document.write_text("networks:\n- name: n1\n")
    done = database.apply(str(document))
    assert done.returncode == 0
    assert "vxlan" in done.stdout and "77" in done.stdout


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("networks:\n- name: [\n", ""),
        ("networks:\n- nmae: a\n", "networks[0].nmae: "),
        ("networks:\n- name: a\n  ports:\n  - mac_address: nonsense\n", "networks[0].ports[0].mac_address: "),
    ],
)
def test_a_wrong_document_is_one_line(database: Database, tmp_path: Path, text: str, start: str) -> None:
    document = tmp_path / "d.yaml"
    document.write_text(text)
    done = database.apply(str(document))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tunbridge: ") and start in done.stderr
    assert done.stderr.count("\n") == 1


def test_long_work_says_how_far_it_is_where_that_is_asked_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes longer than is silent, and there is no database: the error comes after it."""
    monkeypatch.setattr("controller.cli.progress._INTERVAL", 0.01)
    document = tmp_path / "d.yaml"
    ports = "".join(f"  - {{name: port-{at}, description: none}}\n" for at in range(2_000))
    document.write_text(f"networks:\n- name: a\n  ports:\n{ports}")
    asked = database.apply(str(document), "--progress").stderr.splitlines()
    assert len(asked) >= 2
    assert all(re.fullmatch(r"(reading \S+: \d+%|applying \S+: [a-z0-9 ]+ \.\.\.)", line) for line in asked[:-1])
    not_asked = database.apply(str(document)).stderr
    assert not_asked.startswith("tunbridge: ") and not_asked.count("\n") == 1, "stderr is no terminal"


def test_missing_document_or_database_is_one_line(database: Database) -> None:
    missing = database.apply("/nowhere/d.yaml")
    away = database.apply(DEMO)
    for done in (missing, away):
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("tunbridge: ") and done.stderr.count("\n") == 1
    assert "/nowhere/d.yaml" in missing.stderr
    assert f"{database.directory}/run/topology.sock" in away.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_on_a_signal_and_leaves_nothing_running(database: Database, signum: signal.Signals) -> None:
    database.start()
    assert len(database.servers()) == 1
    assert database.stop(signum) == 0
    assert database.servers() == []


def test_serve_says_why_it_cannot(database: Database) -> None:
    (database.directory / "state").write_text("a file")
    command = [
        sys.executable,
        "-m",
        "controller.cli.commands",
        "topology",
        "serve",
        "--config-file",
        database.config_file,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("tunbridge: ")
    assert "Traceback" not in done.stderr
