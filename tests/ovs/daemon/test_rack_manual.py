"""docs/rack.md: its own lines, typed on as many machines as it has, which are folders and addresses of this one.

What systemctl does there is done by the classes that the units' programs consist of; who owns which file is not tried.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import cast

import pytest

from controller.cli.commands import main
from controller.config import config
from tests.support.cluster import dump
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.waiting import wait_until
from topology.server.embedded_server import EmbeddedServer
from topology.server.relay_server import RelayServer

pytestmark = pytest.mark.one_hub

PAGE = (ROOT / "docs" / "rack.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LINE = re.compile(r"^    (\w+)# (.*)$", re.MULTILINE)
MEMBERS = {"m1": "192.0.2.1", "m2": "192.0.2.2", "m3": "192.0.2.3", "m4": "192.0.2.4"}
RELAYS = {"r1": "192.0.2.9", "r2": "192.0.2.10"}
NETWORK = f"127.{os.getpid() // 200 % 200 + 20}.{os.getpid() % 200}."
"""In the place of 192.0.2.0/24: several runs of this do not meet."""


def shown(section: str) -> str:
    """The configuration file that a section shows."""
    (text,) = re.findall(r"^```ini\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return cast(str, text)


class Machine:
    """One machine of the page.

    :param root: for its files
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.etc, self.state, self.home = root / "etc", root / "lib", root / "home"
        self._run_paths = {"tunbridge-topology": root / "run", "tunbridge-relay": root / "relay"}
        self.controller: Tunbridge | None = None
        self._servers: dict[str, EmbeddedServer] = {}
        for folder in (self.etc, self.state, self.home):
            folder.mkdir(parents=True)

    def here(self, text: str) -> str:
        """A text of the page with the places of this machine."""
        text = text.replace("192.0.2.", NETWORK).replace("/etc/tunbridge", str(self.etc))
        for unit, path in self._run_paths.items():
            text = text.replace(f"/run/{unit}", str(path))
        return text.replace("/var/lib/tunbridge", str(self.state)).replace("examples/", f"{ROOT}/examples/")

    def configure(self, file: str, text: str, **replaced: str) -> None:
        """Write a configuration file of the page, with what is this machine's own in the place of what is shown."""
        for old, new in replaced.items():
            text = text.replace(f"/{old}/", f"/{new}/")
        defaults = "" if text.startswith("[DEFAULT]") else "[DEFAULT]\n"
        own = (defaults + self.here(text)).replace("[DEFAULT]\n", f"[DEFAULT]\nstate_path = {self.state}\n", 1)
        (self.etc / file).write_text(own)

    def tunbridge(self, *words: str) -> tuple[int, str]:
        """A command: exit status, and what it wrote."""
        if words[0] == "tls":
            words = (*words, "--directory", str(self.etc / "pki"))
        elif "--config-file" not in words:
            file = self.etc / "tunbridge.conf" if self.controller is None else self.controller.config_file
            words = (*words, "--config-file", str(file))
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
            patch.setattr(sys, "argv", ["tunbridge", *words])
            patch.chdir(self.home)
            with pytest.raises(SystemExit) as ended:
                main()
        return cast(int, ended.value.code), output.getvalue()

    def systemctl(self, *words: str) -> None:
        """Start, stop or restart a unit."""
        command, unit = words[0], words[-1]
        if command in ("stop", "disable", "restart"):
            self.stop(unit)
        if command in ("start", "enable", "restart"):
            self._start(unit)

    def _start(self, unit: str) -> None:
        if unit == "tunbridge-controller":
            assert self.controller is not None
            self.controller.start()
            return
        kind = unit.removeprefix("tunbridge-")
        loaded = config.load([str(self.etc / f"{kind}.conf")])
        given = loaded.topology
        if kind == "relay":
            server: EmbeddedServer = RelayServer(loaded.run_path, given.connection or "", given.listen, given.tls)
        else:
            server = EmbeddedServer(loaded.state_path, loaded.run_path, given.listen, given.tls)
        server.start()
        self._servers[unit] = server

    def stop(self, unit: str | None = None) -> None:
        """Stop a unit, or all of them."""
        if unit == "tunbridge-controller":
            assert self.controller is not None
            assert self.controller.stop() == 0
        for name in [unit] if unit is not None else list(self._servers):
            if (server := self._servers.pop(name, None)) is not None:
                server.stop()

    def lose_disk(self) -> None:
        """It stops, and what it has of the database is lost."""
        self.stop()
        for entry in self.state.iterdir():
            entry.unlink()


class RackOfThePage:
    """All machines, and who types."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        names = dict.fromkeys(name for name, _ in LINE.findall(PAGE))
        self.machines = {name: Machine(name, folder / name) for name in names}
        for machine in self.machines.values():
            stack.callback(machine.stop)
        for name, address in MEMBERS.items():
            text = re.sub(r"((listen|cluster_address) = ssl:)192\.0\.2\.1:", rf"\g<1>{address}:", shown("Members"))
            self.machines[name].configure("topology.conf", text, m1=name)
        for name, address in RELAYS.items():
            text = shown("Relays").replace(f"listen = ssl:{RELAYS['r1']}:", f"listen = ssl:{address}:")
            self.machines[name].configure("relay.conf", text, r1=name)
        self.machines["m1"].configure("tunbridge.conf", shown("The first port"))
        self.ovs = stack.enter_context(OvsHost())
        host = self.machines["h1"]
        parser = RawConfigParser(default_section="")
        parser.read_string(host.here(shown("Hosts")))
        self.controller = host.controller = Tunbridge(
            self.ovs, hub="eventlet", options={group: dict(parser[group]) for group in parser.sections()}
        )
        stack.callback(self.controller.end)

    def type(self, section: str) -> None:
        """Type all lines of a section."""
        lines = LINE.findall(SECTIONS[section])
        assert lines, section
        for name, line in lines:
            self._type(self.machines[name], line)

    def _type(self, machine: Machine, line: str) -> None:
        program, *words = shlex.split(machine.here(line))
        if program == "tunbridge" and "status" in words:  # who has just been started joins soon

            def is_well() -> bool:
                return machine.tunbridge(*words)[0] == 0

            wait_until(is_well, 60, lambda: f"{machine.name}# {line}: {machine.tunbridge(*words)}")
        elif program == "tunbridge":
            status, said = machine.tunbridge(*words)
            assert status == 0, f"{machine.name}# {line}: {said}"
        elif program == "systemctl":
            machine.systemctl(*words)
        elif program == "scp":
            target = self.machines[words[-1].removeprefix("root@").removesuffix(":")]
            shutil.copytree(words[1], target.home / Path(words[1]).name)
        elif program == "rm":
            Path(words[0]).unlink()
        elif program == "ovs-vsctl":
            self.ovs.vsctl(*words)
        else:
            assert program == "chown", line

    def ports(self) -> list[tuple[str, str]]:
        """Ids and MAC addresses of the ports that the members have."""
        socket = self.machines["m1"].here("unix:/run/tunbridge-topology/topology.sock")
        return sorted((row["id"], row["mac_address"]) for row in dump(socket)["Port"])

    def members(self) -> int:
        """How many the first one knows, all of which have what it has, or it is no leader."""
        conf = self.machines["m1"].here("/etc/tunbridge/topology.conf")
        said = self.machines["m1"].tunbridge("topology", "status", "--config-file", conf)[1]
        return len(re.findall(rf"^\w{{4}}  ssl:{re.escape(NETWORK)}", said, re.MULTILINE))


@pytest.fixture(scope="module")
def rack() -> Iterator[RackOfThePage]:
    """All of it installed, as far as the first port."""
    folder = Path(tempfile.mkdtemp(prefix="rack-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        found = RackOfThePage(folder, stack)
        for section in ("Certificates", "Members", "Relays", "Hosts", "The first port"):
            found.type(section)
        yield found


def test_all_lines_are_typed_here() -> None:
    """Each section with lines is one of those below."""
    source = Path(__file__).read_text()
    typed = [section for section, text in SECTIONS.items() if LINE.search(text)]
    assert len(typed) == 12
    assert not [section for section in typed if f'"{section}"' not in source]


def test_the_first_port_is_bound(rack: RackOfThePage) -> None:
    """By way of a relay, and the members know."""
    rack.controller.wait_device("tap99f91280-a0", status="ACTIVE")
    relays = {rack.machines["h1"].here(f"ssl:{address}:6642") for address in RELAYS.values()}
    assert rack.controller.quick_status()["topology"]["server"] in relays
    assert rack.members() == 3


def test_members_come_and_go(rack: RackOfThePage) -> None:
    """One more, one less, one whose disk is lost; and an upgrade, as far as restarts go."""
    before = rack.ports()
    rack.type("Another member, and one less")
    assert rack.members() == 3
    rack.machines["m3"].lose_disk()
    rack.type("A member whose disk is lost")
    rack.type("Upgrading")
    assert rack.members() == 3
    assert rack.ports() == before


def test_what_is_lost_comes_back(rack: RackOfThePage) -> None:
    """From a backup, from the one member that is left, and from a backup alone; the host stays what it was."""
    before = rack.ports()
    rack.type("Backup")
    assert rack.ports() == before
    for name in ("m2", "m3"):
        rack.machines[name].lose_disk()
    rack.type("Two of three members are lost")
    wait_until(lambda: rack.members() == 3, 60, "three members")
    assert rack.ports() == before
    first = rack.machines["m1"]
    shutil.copy(first.state / "topology.backup", first.home)
    for name in ("m1", "m2", "m3"):
        rack.machines[name].lose_disk()
    rack.type("All members are lost")
    wait_until(lambda: rack.members() == 3, 60, "three members")
    assert rack.ports() == before
    rack.controller.wait_device("tap99f91280-a0", status="ACTIVE")
    wait_until(lambda: rack.controller.quick_status()["topology"]["connected"], 60, rack.controller.log_tail)


def test_a_host_goes(rack: RackOfThePage) -> None:
    """Nobody knows it then."""
    rack.type("Another host, and one less")
    assert "h1" not in rack.machines["m1"].tunbridge("host", "list")[1]
