"""The fabric of docker-compose.yml under a project name of its own, for the test of the containers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from scripts.container_probe import ContainerProbe, ProbedVm
from scripts.docker_engine import Engine
from scripts.processes import ProcessError

FILE = Path(__file__).parents[1] / "docker-compose.yml"

_TIMEOUT = 180.0  # seconds; health checks have intervals of seconds
_PROJECT = "com.docker.compose.project"
_CONSOLE = ("python3", "-m", "containers.console", "/run/vm/console.sock")
_PORT, _WORD = 7007, "hello"
_PROFILES = ("--profile", "cluster", "--profile", "host")


@dataclass(frozen=True)
class Layout:
    """Which services are two hosts with what they need.

    :param ends: the hypervisors
    :param controllers: of these, in the same order
    :param profile: that they are of; none: what comes up by default
    """

    ends: tuple[str, str]
    controllers: tuple[str, str]
    api: str
    check: str
    profile: str | None = None


ONE_DATABASE = Layout(("hypervisor1", "hypervisor2"), ("controller1", "controller2"), "api", "check")
CLUSTER = Layout(
    ("cluster-hypervisor1", "cluster-hypervisor2"),
    ("cluster-controller1", "cluster-controller2"),
    "cluster-api",
    "cluster-check",
    "cluster",
)


class Fabric:
    """All services of one project.

    :param project: its name
    :param tag: of the images
    :param layout: those that are talked to
    """

    def __init__(self, engine: Engine, project: str, tag: str, layout: Layout = ONE_DATABASE) -> None:
        self._engine = engine
        self._project = project
        self.layout = layout
        self._environment = {"TUNBRIDGE_TAG": tag}
        self._services = yaml.safe_load(FILE.read_text())["services"]

    def compose(self, *words: str, **environment: str) -> str:
        """A command of Compose: its output.

        :raises ProcessError: it failed
        """
        command = [*self._engine.compose, "--project-name", self._project, "--file", str(FILE)]
        return self._engine.run(*command, *words, **{**self._environment, **environment})

    def up(self) -> None:
        """Bring it up, with images that are there."""
        if self.layout.profile is None:
            self.compose("up", "--detach", "--no-build")
        else:  # the check needs all others, and none of the default ones
            self.compose("--profile", self.layout.profile, "up", "--detach", "--no-build", self.layout.check)

    def down(self) -> None:
        """Take all of the project down; volumes stay."""
        self.compose(*_PROFILES, "down", "--timeout", "20")

    def check(self) -> int:
        """Wait until the check has ended; its exit status."""
        name = self.layout.check
        self.until("the check ends", lambda: self.inspect(name, "{{.State.Status}}") == "exited")
        return int(self.inspect(name, "{{.State.ExitCode}}"))

    def logs(self, service: str) -> str:
        """What a service wrote to stdout."""
        return self._engine.docker("logs", self._container(service))

    def execute(self, service: str, *argv: str) -> str:
        """Run a command in a container: its output.

        :raises ProcessError: it failed
        """
        return self._engine.docker("exec", self._container(service), *argv)

    def inspect(self, service: str, template: str) -> str:
        """What ``docker inspect`` knows of a container."""
        return self._engine.docker("inspect", "--format", template, self._container(service)).strip()

    def kill(self, service: str, program: str | None = None) -> None:
        """End a container by SIGKILL, as a crash does, and wait until Docker has started it again and it is healthy.

        Not by ``docker kill``, which counts as stopped by hand: such a container is not started again.

        :param program: only this one of its processes
        """
        before = self.inspect(service, "{{.State.Pid}} {{.State.StartedAt}}")
        os.kill(self._pid(service, program) if program is not None else int(before.split()[0]), signal.SIGKILL)
        self.until(
            f"{service} is started again",
            lambda: (
                (now := self.inspect(service, "{{.State.Pid}} {{.State.StartedAt}}")) != before
                and not now.startswith("0 ")
            ),
        )
        self.wait_healthy(service)

    def switch_off(self, service: str) -> None:
        """End a container by SIGKILL; it stays away until :meth:`switch_on`."""
        self._engine.docker("kill", self._container(service))

    def switch_on(self, service: str) -> None:
        """Start one again that was switched off, and wait until it is healthy."""
        self._engine.docker("start", self._container(service))
        self.wait_healthy(service)

    def wait_healthy(self, service: str) -> None:
        """Wait until its health check says so."""
        self.until(f"{service} is healthy", lambda: self.inspect(service, "{{.State.Health.Status}}") == "healthy")

    def wait_in_sync(self) -> None:
        """Wait until ``tunbridge status`` of both controllers ends with status 0."""
        for controller in self.layout.controllers:

            def in_sync(name: str = controller) -> bool:
                self.execute(name, "tunbridge", "status")
                return True

            self.until(f"{controller} is in sync", in_sync)

    def ping(self, one: str, other: str) -> bool:
        """Whether the VMs of two hypervisors reach each other; the first answer may be late."""
        for source, target in ((one, other), (other, one)):
            address = self._services[target]["environment"]["VM_ADDRESS"].partition("/")[0]
            console = ("python3", "-m", "containers.console", "/run/vm/console.sock")

            command = (*console, "ping", "-n", "-c", "3", "-W", "1", address)

            def answered(service: str = source, argv: tuple[str, ...] = command) -> bool:
                return " 0% packet loss" in self.execute(service, *argv)

            self.until(f"the VM of {source} reaches that of {target}", answered)
        return True

    def converse(self, client: str, server: str) -> bool:
        """Whether the VM of one hypervisor is told a word over TCP by that of another."""
        address = self._address(server)
        serve = f"import socket; s = socket.create_server(('{address}', {_PORT})); s.accept()[0].sendall(b'{_WORD}')"
        ask = f"import socket; print(socket.create_connection(('{address}', {_PORT}), 3).recv(99).decode())"
        self._engine.docker("exec", "--detach", self._container(server), *_CONSOLE, "python3", "-c", serve)
        self.until("the word is told", lambda: self.execute(client, *_CONSOLE, "python3", "-c", ask) == f"{_WORD}\n")
        return True

    def port_states(self) -> dict[str, str]:
        """What the Network API answers: state by id of the port."""
        ask = f"import urllib.request as u; print(u.urlopen('{self.api_url}/ports').read().decode())"
        ports = json.loads(self.execute(self.layout.api, "python3", "-c", ask))["ports"]
        return {port["id"]: port["status"] for port in ports}

    @property
    def api_url(self) -> str:
        """Where the Network API answers, for the containers."""
        (network,) = self._services[self.layout.api]["networks"].values()
        return f"http://{network['ipv4_address']}:9696/v2.0"

    def vm_ports(self) -> set[str]:
        """Ids of the VMs' ports."""
        return {self._services[service]["environment"]["VM_PORT"] for service in self.layout.ends}

    def probe(self) -> ContainerProbe:
        """A probe between the two VMs.

        :raises ProcessError: they are not on this machine
        """
        return ContainerProbe(*(self._vm(service) for service in self.layout.ends))

    def remove(self) -> list[str]:
        """Take all of it away, volumes too; what is left nevertheless."""
        with contextlib.suppress(ProcessError):
            self.compose(*_PROFILES, "down", "--volumes", "--remove-orphans", "--timeout", "20")
        left = []
        for kind, listing in (
            ("container", ("ps", "--all")),
            ("network", ("network", "ls")),
            ("volume", ("volume", "ls")),
        ):
            found = self._engine.docker(*listing, "--quiet", "--filter", f"label={_PROJECT}={self._project}")
            left += [f"{kind} {name}" for name in found.split()]
        return left

    def _vm(self, service: str) -> ProbedVm:
        pid = self._pid(service, "-m containers.vm ")
        if not Path(f"/proc/{pid}").exists():
            raise ProcessError(f"the VM of {service} is not on this machine")
        mac = self._services[service]["environment"]["VM_MAC"]
        return ProbedVm(service, pid, mac, self._pid(service, "ovs-vswitchd "))

    def _address(self, service: str) -> str:
        return str(self._services[service]["environment"]["VM_ADDRESS"]).partition("/")[0]

    def _pid(self, service: str, words: str) -> int:
        """The process in a container whose command line has these words: its id on the engine's machine."""
        processes = self._engine.docker("top", self._container(service), "-eo", "pid,args").splitlines()[1:]
        (pid,) = (int(line.split()[0]) for line in processes if words in line)
        return pid

    def _container(self, service: str) -> str:
        labels = (f"label={_PROJECT}={self._project}", f"label=com.docker.compose.service={service}")
        found = self._engine.docker("ps", "--all", "--quiet", "--filter", labels[0], "--filter", labels[1]).split()
        if len(found) != 1:
            raise ProcessError(f"{len(found)} containers of {service}")
        return found[0]

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until something is true; a command that fails is one more reason to wait.

        :raises ProcessError: it is not within three minutes
        """
        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                if true():
                    return
                why = ""
            except ProcessError as error:  # a container that is not there for the moment, a status that is not 0
                why = f": {error}"
            if time.monotonic() > deadline:
                raise ProcessError(f"not within {_TIMEOUT:g} s: {what}{why}")
            time.sleep(0.2)
