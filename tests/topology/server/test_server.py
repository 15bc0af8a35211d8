"""The embedded server: private, supervised, and careful with its file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ovs.db.schema import DbSchema

from tests.support.host.tunbridge import free_tcp_port
from tests.support.raw_ovsdb import wait_successor
from tests.support.waiting import wait_until
from topology.database.topology_database import DATABASE, SCHEMA
from topology.errors import ConfigError, TopologyError
from topology.server.database_file import finished_length
from topology.server.embedded_server import EmbeddedServer, passive_method
from topology.server.own_folder import check_own, make_own

VERSION = json.dumps(json.loads(SCHEMA.read_text())["version"])
ROOT = Path(__file__).parents[3]


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(directory: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    servers: list[EmbeddedServer] = []

    def embedded(*listen: str) -> EmbeddedServer:
        servers.append(EmbeddedServer(directory / "state", directory / "run", listen))
        return servers[-1]

    yield embedded
    for server in servers:
        server.stop()


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def client(*arguments: str) -> str:
    done = subprocess.run(["ovsdb-client", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def add_host(connection: str, name: str) -> None:
    operation = f'{{"op":"insert","table":"Host","row":{{"name":"{name}"}}}}'
    assert "error" not in client("transact", connection, f'["{DATABASE}",{operation}]')


def hosts(connection: str) -> list[str]:
    return sorted(re.findall(r"^h\d+$", client("dump", connection, DATABASE, "Host", "name"), re.MULTILINE))


def test_only_the_owner_can_reach_it(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    server = make()
    server.start()
    assert server.connection == f"unix:{directory}/run/topology.sock"
    assert client("list-dbs", server.connection).split() == [DATABASE, "_Server"]
    assert mode(directory / "run/topology.sock") == mode(directory / "state/topology.db") == "600"
    assert mode(directory / "run") == mode(directory / "state") == "700"
    assert all(mode(path) == "600" for part in ("run", "state") for path in (directory / part).iterdir())
    pid = server.pid
    server.stop()
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert not (directory / "run/topology.sock").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "topology-server"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["run/topology.log", "state/topology.lock"])
def test_no_link_is_followed(
    make: Callable[..., EmbeddedServer], directory: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    elsewhere = directory / "elsewhere"
    elsewhere.write_text("as it was")
    place = directory / name
    place.parent.mkdir(mode=0o700)
    link(elsewhere, place)
    with pytest.raises(TopologyError, match="link"):
        make().start()
    assert elsewhere.read_text() == "as it was"


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize(
    "name",
    [
        *("topology.pid", "topology.pid.tmp", "topology.db.new", "topology.ctl", "topology.db.tmp"),
        *(".topology.db.tmp.~lock~", ".topology.db.new.~lock~", "topology.sock"),
    ],
)
def test_a_link_that_is_replaced_is_not_followed(
    make: Callable[..., EmbeddedServer], directory: Path, name: str, starts: int, is_there: bool
) -> None:
    """Neither where the file is made nor where it is compacted."""
    elsewhere = directory / "elsewhere"
    if is_there:
        elsewhere.write_text("as it was")
    for part in ("state", "run"):
        (directory / part).mkdir(mode=0o700)
    server = make()
    for _ in range(starts):
        server.stop()
        for part in ("state", "run"):
            with contextlib.suppress(FileNotFoundError):
                (directory / part / name).unlink()
            (directory / part / name).symlink_to(elsewhere)
        server.start()
        assert client("list-dbs", server.connection).split() == [DATABASE, "_Server"]
    assert (elsewhere.read_text() == "as it was") if is_there else not elsewhere.exists()


def test_a_database_that_has_another_name_is_refused(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    server = make()
    server.start()
    server.stop()
    file, elsewhere = directory / "state/topology.db", directory / "elsewhere"
    with file.open("ab") as log:
        log.write(b"OVSDB JSON 100 ")  # which would be cut off
    os.link(file, elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(TopologyError, match="it is a link to a file that has another name too"):
        server.start()
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("name", ["topology.db", ".topology.db.~lock~"])
def test_a_database_that_is_a_link_is_refused(make: Callable[..., EmbeddedServer], directory: Path, name: str) -> None:
    (directory / "state").mkdir(mode=0o700)
    (directory / "state" / name).symlink_to(directory / "elsewhere.db")
    with pytest.raises(TopologyError, match="it is a symbolic link, which is not followed: remove it"):
        make().start()
    assert not (directory / "elsewhere.db").exists()


def test_a_link_in_the_place_of_a_copy_is_replaced(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    server = make()
    server.start()
    server.stop()
    file, elsewhere = directory / "state/topology.db", directory / "elsewhere"
    elsewhere.write_text("as it was")
    (directory / "state/topology.db.unfinished").symlink_to(elsewhere)
    with file.open("ab") as log:
        log.write(b"OVSDB JSON 100 ")
    torn = file.read_bytes()
    server.start()
    assert elsewhere.read_text() == "as it was"
    assert (directory / "state/topology.db.unfinished").read_bytes() == torn


@pytest.mark.parametrize("part", ["state", "run"])
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_everybody_may_write_is_refused(
    make: Callable[..., EmbeddedServer], directory: Path, part: str, mode: int
) -> None:
    (directory / part).mkdir()
    (directory / part).chmod(mode)
    with pytest.raises(TopologyError, match=rf"\[DEFAULT\] {part}_path .* may be written by everybody .*: chmod o-w"):
        make().start()
    assert not list((directory / part).iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("part", ["state", "run"])
@pytest.mark.parametrize(
    ("mode", "owner", "group", "refused"),
    [
        (0o770, 0, 12345, "may be written by its group .mode 0770.*chmod g-w"),
        (0o2775, 0, 12345, "may be written by its group .mode 2775.*chmod g-w"),
        (0o770, 0, 0, None),
        (0o750, 0, 12345, None),
        (0o700, 12345, 0, "belongs to user 12345"),
    ],
)
def test_a_folder_that_others_may_write_is_refused(
    make: Callable[..., EmbeddedServer],
    directory: Path,
    part: str,
    mode: int,
    owner: int,
    group: int,
    refused: str | None,
) -> None:
    """The group of root, in which nobody else is, is not others."""
    (directory / part).mkdir()
    os.chown(directory / part, owner, group)
    (directory / part).chmod(mode)
    if refused is None:
        make().start()
    else:
        with pytest.raises(TopologyError, match=rf"\[DEFAULT\] {part}_path .*{refused}"):
            make().start()
        assert not list((directory / part).iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("mode", "owner", "group", "refused"),
    [
        (0o777, 0, 0, "may be written by everybody .mode 0777.: chmod o-w"),
        (0o775, 0, 12345, "may be written by its group .mode 0775.: chmod g-w"),
        (0o755, 12345, 0, "belongs to user 12345, who could replace what is there: chown root"),
        (0o1777, 0, 0, None),
        (0o775, 0, 0, None),
        (0o755, 0, 12345, None),
    ],
)
def test_a_folder_that_others_could_replace_is_refused(
    directory: Path, mode: int, owner: int, group: int, refused: str | None, linked: bool
) -> None:
    """Also one to which a link leads that others could replace."""
    above = directory / "above"
    above.mkdir()
    folder = above / "between" / "state"
    if linked:
        (directory / "state").mkdir(mode=0o700)
        (above / "between").symlink_to(directory)
    else:
        folder.mkdir(mode=0o700, parents=True)
    os.chown(above, owner, group)
    above.chmod(mode)
    if refused is None:
        check_own("[DEFAULT] state_path", folder)
    else:
        with pytest.raises(ConfigError, match=rf"state_path {folder} is below {above}, which {refused} {above}"):
            check_own("[DEFAULT] state_path", folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_somebody_else_and_links_in_a_circle_are_refused(directory: Path) -> None:
    (directory / "state").mkdir(mode=0o700)
    (directory / "link").symlink_to("state")
    check_own("[DEFAULT] state_path", directory / "link")
    os.chown(directory / "link", 12345, 0, follow_symlinks=False)
    with pytest.raises(ConfigError, match=f"is below {directory}/link, which belongs to user 12345"):
        check_own("[DEFAULT] state_path", directory / "link")
    (directory / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="Too many levels"):
        check_own("[DEFAULT] state_path", directory / "circle" / "state")


@pytest.mark.parametrize("umask", [0, 0o002, 0o077])
def test_folders_that_are_missing_are_made_for_us_alone(directory: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_own("[DEFAULT] state_path", directory / "some/where/state")
    finally:
        os.umask(before)
    assert (mode(directory / "some/where/state"), mode(directory / "some")) == ("700", f"{0o755 & ~umask:o}")


def test_it_keeps_what_was_written_and_compacts_it(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    server = make()
    server.start()
    for turn in range(100):
        add_host(server.connection, f"h{turn}")
        client("transact", server.connection, f'["{DATABASE}",{{"op":"delete","table":"Host","where":[]}}]')
    add_host(server.connection, "h1")
    server.stop()
    before = (directory / "state/topology.db").stat().st_size
    server.start()
    assert hosts(server.connection) == ["h1"]
    assert (directory / "state/topology.db").stat().st_size < before / 3


def test_other_hosts_reach_it_where_listen_says(make: Callable[..., EmbeddedServer]) -> None:
    port = free_tcp_port()
    make(f"tcp:127.0.0.1:{port}").start()
    assert DATABASE in client("list-dbs", f"tcp:127.0.0.1:{port}")


def test_an_address_in_use_is_said_and_nothing_is_left_running(
    make: Callable[..., EmbeddedServer], directory: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = make(f"tcp:127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(TopologyError, match="Address already in use"):
            server.start()
    assert server.pid is None
    server.start()  # nothing holds the lock, the file or the socket


@pytest.mark.parametrize(
    ("method", "passive"),
    [
        ("tcp:192.0.2.1:6642", "ptcp:6642:192.0.2.1"),
        ("tcp:[::1]:6642", "ptcp:6642:[::1]"),
        ("ssl:192.0.2.1:6642", "pssl:6642:192.0.2.1"),
    ],
)
def test_listen_becomes_a_passive_method(method: str, passive: str) -> None:
    assert passive_method(method) == passive


@pytest.mark.parametrize(
    "method",
    ["ssl:192.0.2.1:6642", "tcp:6642", "tcp:host:6642", "tcp:192.0.2.1:0", "tcp:192.0.2.1:65536", "", "tcp:1.2.3:1"],
)
def test_listen_that_cannot_be_served_is_refused(method: str, directory: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[topology\] listen"):
        EmbeddedServer(directory, directory, (method,))


def test_killed_it_is_started_again_with_its_data(
    make: Callable[..., EmbeddedServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.start()
    add_host(server.connection, "h1")
    for _ in range(2):
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        wait_successor(server, killed)
        wait_until(lambda: caplog.text.count("runs again") > 0, 5, "it answers")
        assert hosts(server.connection) == ["h1"]
        caplog.clear()
    server.stop()
    assert server.pid is None


OWNER = """
import sys, time
from topology.server.embedded_server import EmbeddedServer
server = EmbeddedServer(sys.argv[1] + "/state", sys.argv[1] + "/run")
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def test_a_live_owner_is_respected_and_a_killed_ones_server_is_taken_over(
    make: Callable[..., EmbeddedServer], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    argv = [sys.executable, "-W", "ignore", "-c", OWNER, str(directory)]
    owner = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    orphan = 0
    try:
        assert owner.stdout is not None
        orphan = int(owner.stdout.readline())
        server = make()
        with pytest.raises(TopologyError, match=f"state is in use by process {owner.pid}"):
            server.start()
        add_host(server.connection, "h1")
        owner.kill()
        owner.wait()
        assert Path(f"/proc/{orphan}/cmdline").read_bytes()
        server.start()
        assert f"pid {orphan}" in caplog.text
        assert server.pid != orphan
        assert hosts(server.connection) == ["h1"]
        wait_until(lambda: not _runs(orphan), 5, "the orphan has ended")
    finally:
        owner.kill()
        owner.communicate()
        if orphan and _runs(orphan):
            os.kill(orphan, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return b"ovsdb-server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_process_id_that_is_someone_elses_by_now_is_left_alone(
    make: Callable[..., EmbeddedServer], directory: Path
) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (directory / "state").mkdir()
        (directory / "state/topology.pid").write_text(f"{stranger.pid}\n")
        make().start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: b"", "cannot identify file type"),
        (lambda raw: b"junk\n" * 100, "unexpected file format"),
        (lambda raw: raw[:200] + b"\0" + raw[201:], "should have hash"),
        (lambda raw: raw[:-40] + b"X" + raw[-39:], "should have hash"),
        (lambda raw: raw + b"junk\n", "parse error|unexpected|syntax error"),
    ],
    ids=["empty", "no database", "schema", "last record", "appended line"],
)
def test_a_damaged_file_is_refused_and_stays_as_it_is(
    make: Callable[..., EmbeddedServer], directory: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    server = make()
    server.start()
    add_host(server.connection, "h1")
    server.stop()
    file = directory / "state/topology.db"
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    with pytest.raises(TopologyError, match=message) as caught:
        server.start()
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
    assert server.pid is None


@pytest.mark.parametrize("missing", [1, 30, 100, 150])
def test_a_change_whose_writing_was_cut_short_is_dropped_and_a_copy_kept(
    make: Callable[..., EmbeddedServer], directory: Path, missing: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.start()
    add_host(server.connection, "h1")
    file = directory / "state/topology.db"
    whole = file.stat().st_size
    add_host(server.connection, "h2")
    server.stop()
    assert file.stat().st_size - missing > whole, "the cut is in the last record"
    os.truncate(file, file.stat().st_size - missing)
    torn = file.read_bytes()
    assert finished_length(file) == whole
    server.start()
    assert hosts(server.connection) == ["h1"]
    assert f"removed the last {len(torn) - whole} bytes" in caplog.text
    assert (directory / "state/topology.db.unfinished").read_bytes() == torn


def _create(directory: Path, schema: str) -> Path:
    (directory / "state").mkdir(parents=True)
    file = directory / "state/topology.db"
    (directory / "schema").write_text(schema)
    subprocess.run(["ovsdb-tool", "create", file, directory / "schema"], check=True)
    return file


def test_an_older_schema_is_converted(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    old = SCHEMA.read_text().replace(VERSION, '"0.9.0"').replace('"device_owner": {"type": "string"},', "")
    file = _create(directory, old)
    before = file.read_bytes()
    server = make()
    server.start()
    server.stop()
    done = subprocess.run(["ovsdb-tool", "db-version", file], check=True, capture_output=True, text=True)
    assert done.stdout == f"{json.loads(VERSION)}\n"
    assert (directory / "state/topology.db.0.9.0").read_bytes() == before


def test_a_file_of_the_first_version_keeps_its_rows(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    """Version 1.0.0 had no table Topology; the rows of a file that it wrote are all there after the conversion."""
    schema = json.loads(SCHEMA.read_text())
    del schema["tables"]["Topology"]
    file = _create(directory, json.dumps({**schema, "version": "1.0.0"}))
    operations = f'["{DATABASE}",{{"op":"insert","table":"Host","row":{{"name":"h1"}}}}]'
    subprocess.run(["ovsdb-tool", "transact", file, operations], check=True, capture_output=True)
    server = make()
    server.start()
    assert hosts(server.connection) == ["h1"]
    assert "revision" in client("dump", server.connection, DATABASE, "Topology")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            SCHEMA.read_text()
            .replace(VERSION, '"1.10.0"')
            .replace('"device_owner": {', '"device_profile": {"type": "string"}, "device_owner": {'),
            f"has schema version 1.10.0, and this Tunbridge knows {json.loads(VERSION)}",
        ),
        (SCHEMA.read_text().replace(DATABASE, "Another"), "holds the database Another"),
    ],
)
def test_a_newer_schema_or_another_database_is_refused(
    make: Callable[..., EmbeddedServer], directory: Path, schema: str, message: str
) -> None:
    file = _create(directory, schema)
    before = file.read_bytes()
    with pytest.raises(TopologyError, match=re.escape(message)):
        make().start()
    assert file.read_bytes() == before


def _without_indexes(schema: dict[str, Any]) -> None:
    for table in schema["tables"].values():
        table.pop("indexes", None)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "newer version": lambda schema: schema.update(version="9.0.0"),
    "older version": lambda schema: schema.update(version="0.1.0"),
    "newer version without a column": lambda schema: (
        schema.update(version="2.0.0"),
        schema["tables"]["Host"]["columns"].pop("version"),
    ),
    "no version": lambda schema: schema.pop("version"),
    "indexes dropped": _without_indexes,
    "indexes dropped in a newer version": lambda schema: (schema.update(version="1.99.0"), _without_indexes(schema)),
    "more rows allowed": lambda schema: schema["tables"]["Topology"].update(maxRows=9),
    "no bounds": lambda schema: schema["tables"]["Host"]["columns"].update(name={"type": "string"}),
    "weak references": lambda schema: schema["tables"]["Port"]["columns"]["network"]["type"]["key"].update(
        refType="weak"
    ),
    "sets of texts": lambda schema: schema["tables"]["Host"]["columns"].update(
        version={"type": {"key": "string", "min": 0, "max": "unlimited"}}
    ),
    "two tables left": lambda schema: schema.update(
        tables={name: schema["tables"][name] for name in ("Host", "TunnelEndpoint")}
    ),
    "a table of its own": lambda schema: schema["tables"].update(Mine={"columns": {"x": {"type": "string"}}}),
    "a table dropped": lambda schema: schema["tables"].pop("Quota"),
}


def _changed(directory: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    schema = json.loads(SCHEMA.read_text())
    change(schema)
    file = directory / "changed.ovsschema"
    file.write_text(json.dumps(schema))
    return file


def _schema(connection: str) -> dict[str, Any]:
    found: dict[str, Any] = DbSchema.from_json(json.loads(client("get-schema", connection, DATABASE))).to_json()
    return found


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_schema_that_a_client_has_changed_is_as_it_was_after_a_start(
    make: Callable[..., EmbeddedServer],
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[dict[str, Any]], object],
) -> None:
    caplog.set_level("INFO")
    server = make()
    server.start()
    ours = _schema(server.connection)
    add_host(server.connection, "h1")
    client("convert", server.connection, str(_changed(directory, change)))
    changed = _schema(server.connection)
    assert changed != ours
    server.stop()
    before = (directory / "state/topology.db").read_bytes()
    server.start()
    assert _schema(server.connection) == ours
    assert hosts(server.connection) == ["h1"]
    assert (directory / f"state/topology.db.{changed.get('version', 'changed')}").read_bytes() == before
    assert "is a copy as it was" in caplog.text


def test_what_drops_the_columns_of_a_newer_schema_is_said(make: Callable[..., EmbeddedServer], directory: Path) -> None:
    server = make()
    server.start()
    add_host(server.connection, "h1")
    ours = _schema(server.connection)

    def change(schema: dict[str, Any]) -> None:
        schema.update(version="7.0.0")
        schema["tables"]["Host"]["columns"]["mine"] = {"type": "string"}

    client("convert", server.connection, str(_changed(directory, change)))
    server.stop()
    with pytest.raises(TopologyError, match=r"knows .*: use a newer one, or, .* drops Host\.mine") as caught:
        server.start()
    command = re.search("`(.*)`", str(caught.value))
    assert command is not None
    subprocess.run(command[1].split(), check=True)
    server.start()
    assert (hosts(server.connection), _schema(server.connection)) == (["h1"], ours)


@pytest.mark.parametrize(
    "double",
    [
        {"table": "Host", "row": {"name": "h1"}},
        {"table": "Notification", "row": {"port_id": "p", "device_id": "d", "status": "DOWN"}},
        {"table": "HostState", "row": {"name": "h1", "last_seen": 1}},
    ],
    ids=lambda double: str(double["table"]),
)
def test_rows_that_stand_against_the_schema_are_served_and_named(
    make: Callable[..., EmbeddedServer],
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    double: dict[str, Any],
) -> None:
    server = make()
    server.start()
    ours = _schema(server.connection)
    client("convert", server.connection, str(_changed(directory, _without_indexes)))
    for _ in range(2):
        client("transact", server.connection, json.dumps([DATABASE, {"op": "insert", **double}]))
    server.stop()
    server.start()
    assert _schema(server.connection) != ours
    assert f"is served with what it has (version {json.loads(VERSION)}, differing: " in caplog.text
    assert f"2 rows of {double['table']} have the " in caplog.text and "delete all but one" in caplog.text
    delete = {"op": "delete", "table": double["table"], "where": []}
    assert client("transact", server.connection, json.dumps([DATABASE, delete])) == '[{"count":2}]\n'
    server.stop()
    server.start()
    assert _schema(server.connection) == ours


def test_a_backup_of_an_older_version_that_is_put_in_place_under_it_is_converted(
    make: Callable[..., EmbeddedServer], directory: Path
) -> None:
    """The file is made ready whenever the server is started, not only at the first time."""
    server = make()
    server.start()
    schema = json.loads(SCHEMA.read_text())
    del schema["tables"]["Topology"]
    backup = _create(directory / "old", json.dumps({**schema, "version": "1.0.0"}))
    backup.replace(directory / "state/topology.db")
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_successor(server, killed)
    wait_until(lambda: "revision" in _tried_dump(server.connection), 10, "it has all tables of this version")


def _tried_dump(connection: str) -> str:
    done = subprocess.run(["ovsdb-client", "dump", connection, DATABASE, "Topology"], capture_output=True, text=True)
    return done.stdout


def test_what_is_missing_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "file").touch()
    for state, run, message in (
        (directory / "file", directory, "state_path .*/file cannot be made: File exists"),
        (directory, directory / "file" / "run", "run_path .*/file/run cannot be made: Not a directory"),
        (directory, directory / ("x" * 100), "run_path is too long"),
    ):
        with pytest.raises(TopologyError, match=message):
            EmbeddedServer(state, run).start()
    with pytest.raises(TopologyError, match=r"/proc/1[^0-9].*(not writable|cannot be started)"):
        EmbeddedServer("/proc/1", directory).start()  # which root cannot write to either
    monkeypatch.setattr("topology.server.ovsdb_tools._SBIN", ())
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(TopologyError, match="ovsdb-server is not installed"):
        EmbeddedServer(directory, directory).start()


EVENTLET = """
import eventlet
eventlet.monkey_patch()
import os, sys
from topology.server.embedded_server import EmbeddedServer
server = EmbeddedServer(sys.argv[1] + "/state", sys.argv[1] + "/run")
server.start()
first = server.pid
os.kill(first, 9)
with eventlet.Timeout(60):
    while server.pid in (None, first):
        eventlet.sleep(0.01)
server.stop()
print("done")
"""


def test_under_eventlet(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EVENTLET, str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout == "done\n", done.stderr
