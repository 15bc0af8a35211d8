"""One host of the lab as a user has it who runs ``tunbridge run`` and plugs devices by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.config.config import Config, load
from controller.plugging import links, plug
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.netns import Namespace
from topology.documents.apply import apply_document
from topology.documents.reader import load_document

_TIMEOUT = 400  # seconds of a command


class Machine:
    """A host with a controller, and an API at its default address.

    :param document: topology document to begin with
    """

    def __init__(self, lab: Lab, document: Path) -> None:
        self.lab = lab
        self.host: LabHost = lab.add_host("h1")
        lab.start_controllers(options={"api": {"enabled": "true"}})
        self.controller: Tunbridge = lab.controllers["h1"]
        self.config: Config = load([str(self.controller.config_file)])
        policy = self.config.allocation_policy()
        apply_document(lab.topology, load_document(str(document)), policy, prune=False, dry_run=False)
        self._programs = lab.directory / "bin"
        self._programs.mkdir()
        self._program("tunbridge", f"-m controller.cli.commands --config-file {self.controller.config_file}")
        self._program("openstack", "-m openstackclient.shell")

    def _program(self, name: str, words: str) -> None:
        path = self._programs / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(0o755)

    @contextmanager
    def netns(self, name: str, *, make: bool = False) -> Iterator[Namespace]:
        """A name for a namespace, which is removed at the end.

        :param make: there is one now
        """
        namespace = Namespace(f"{self.lab.directory.name}-{name}")
        if make:
            namespace.create()
        try:
            yield namespace
        finally:
            namespace.delete()

    def run(self, *argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command on the host, with ``tunbridge`` and ``openstack`` to be found."""
        path = f"{self._programs}:{os.environ['PATH']}:/usr/sbin:/sbin"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        with self.host.namespace.inside():
            return subprocess.run(
                argv,
                env={**ours, "PYTHONPATH": str(ROOT), "PATH": path, "COLUMNS": "250", **environment},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
            )

    def plug(self, port_id: str, netns: Namespace | None = None, wait: float | None = 20) -> str:
        """``tunbridge plug``, without the start of a process."""
        with self.host.namespace.inside():
            return plug.plug(self.config, port_id, netns.name if netns is not None else None, wait)

    def unplug(self, port_id: str) -> str:
        """``tunbridge unplug``, without the start of a process."""
        with self.host.namespace.inside():
            return plug.unplug(self.config, port_id)

    def ports(self) -> list[str]:
        """Devices on br-int."""
        return [name for name in self.host.ovs.vsctl("list-ports", "br-int").split() if name.startswith("tap")]

    def devices(self) -> list[str]:
        """Network devices on the host whose names are those of ports."""
        with self.host.namespace.inside():
            return sorted(name for name in links.device_names() if name.startswith("tap"))
