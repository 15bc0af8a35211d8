"""The Dockerfile: what an image of a controller promises, and that it can be built from what is in the checkout."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from controller.cli import commands

ROOT = Path(__file__).parents[3]
FILE = ROOT / "Dockerfile"
USER = "6653"
INSTALLERS = ("python3-venv", "python3-pip", "gcc", "build-essential", "python3-dev")
OF_AN_EXTRA = ("keystonemiddleware", "keystoneauth1", "cryptography", "controller.pki", "opentelemetry")
"""Of pyproject.toml, and what is made of them: no image has them."""


@dataclass(frozen=True)
class Stage:
    """One stage of the build.

    :param base: image or stage that it begins with
    :param instructions: keyword and arguments, in order
    """

    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, keyword: str) -> list[str]:
        return [arguments for name, arguments in self.instructions if name == keyword]

    def last(self, keyword: str) -> str | None:
        return (self.all(keyword) or [None])[-1]


def _stages() -> dict[str, Stage]:
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        keyword, _, arguments = line.partition(" ")
        if keyword == "FROM":
            base, _, name = arguments.partition(" AS ")
            stages[name] = (base, [])
        elif name:
            stages[name][1].append((keyword, " ".join(arguments.split())))
    return {name: Stage(base, tuple(instructions)) for name, (base, instructions) in stages.items()}


STAGES = _stages()
RUNTIME, HOST, CONTROLLER = STAGES["runtime"], STAGES["host"], STAGES["tunbridge"]


def test_hadolint_has_nothing_to_say() -> None:
    """What it is told to ignore has its reason beside it."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_image_begins_with_the_one_that_the_builder_names() -> None:
    """Or with another stage; a Debian slim where nothing is named."""
    bases = {stage.base for stage in STAGES.values()}
    assert bases - STAGES.keys() == {"${BASE_IMAGE}"}
    assert "\nARG BASE_IMAGE=debian:bookworm-slim\n" in FILE.read_text()


def test_the_last_stage_is_the_controller() -> None:
    """`docker build .` makes it."""
    assert list(STAGES)[-1] == "tunbridge"
    assert (CONTROLLER.base, CONTROLLER.instructions) == ("runtime", (("CMD", '["run"]'),))


def test_no_address_of_an_index_is_written_down() -> None:
    """Nothing is fetched but by package managers, from where the builder's environment says."""
    assert not re.search(r"https?://|ftp://|\bcurl\b|\bwget\b|--index-url|--extra-index-url|git\+", FILE.read_text())
    assert not [stage for stage in STAGES.values() if stage.all("ADD")]
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_NO_INDEX"} <= set(
        STAGES["build"].all("ARG")
    )
    assert not re.search(r"^ENV PIP_", FILE.read_text(), re.MULTILINE), "it would be in the image for ever"


@pytest.mark.parametrize("stage", [RUNTIME, HOST], ids=["tunbridge", "host"])
def test_no_image_has_what_builds(stage: Stage) -> None:
    """Build tools are in the first stage alone, and package lists in no layer."""
    for command in stage.all("RUN"):
        assert not [package for package in INSTALLERS if package in command.split()]
        assert "apt-get install" not in command or "rm -rf /var/lib/apt/lists/* /var/cache/apt/*" in command
    assert "python3-venv" in " ".join(STAGES["build"].all("RUN"))


def test_the_controller_runs_as_a_user_of_its_own() -> None:
    """Whose number the compose file and the hypervisor's group have too."""
    assert RUNTIME.last("USER") == USER
    assert f"groupadd --gid {USER} tunbridge" in " ".join(RUNTIME.all("RUN"))
    assert f"useradd --uid {USER} --gid tunbridge" in " ".join(RUNTIME.all("RUN"))
    assert f"groupadd --gid {USER} tunbridge" in " ".join(HOST.all("RUN"))
    compose = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"[ug]id=(\d+)", compose)) == {USER, "0"}


def test_the_program_is_the_entry_point() -> None:
    """With its own command as the health check, and the signal that it ends at."""
    assert json.loads(RUNTIME.last("ENTRYPOINT") or "") == ["tunbridge"]
    assert RUNTIME.last("STOPSIGNAL") == HOST.last("STOPSIGNAL") == "SIGTERM"
    program, *command = json.loads((RUNTIME.last("HEALTHCHECK") or "").partition("CMD ")[2])
    assert program == "tunbridge" and set(command) <= commands.cli.commands.keys()


def test_labels_say_what_it_is() -> None:
    """With the version of the program."""
    labels = dict(re.findall(r'(org\.opencontainers\.image\.\w+)="([^"]*)"', RUNTIME.last("LABEL") or ""))
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None and f"VERSION={version[1]}" in RUNTIME.all("ARG")


def test_what_is_copied_is_in_the_checkout_and_in_the_build_context() -> None:
    """.dockerignore leaves out all but that."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for stage in STAGES.values()
        for arguments in stage.all("COPY")
        if "--from" not in arguments
        for source in arguments.split()[:-1]
    ]
    assert "controller" in copied
    for source in copied:
        assert source == "wheelhouse*" or (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(pattern, source) or source.startswith(f"{pattern}/") for pattern in kept), source


@pytest.mark.parametrize("stage", ["host", "check"])
def test_the_modules_of_an_image_need_no_others(stage: str, tmp_path: Path) -> None:
    """The entry point can be imported from what is copied, with the standard library alone."""
    for arguments in STAGES[stage].all("COPY"):
        *sources, target = arguments.split()
        for source in (ROOT / name for name in sources if name.endswith(".py")):
            directory = tmp_path / Path(target).name
            directory.mkdir(exist_ok=True)
            (directory / source.name).write_bytes(source.read_bytes())
    *_, module = json.loads(STAGES[stage].last("ENTRYPOINT") or "")
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); import {module}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def _installed(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """The distributions that pip installs with one of them, by their canonical names."""
    names = {canonicalize_name(name)}
    for line in metadata.requires(name) or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            names |= _installed(wanted.name, frozenset(wanted.extras))
    return names


def _lay_out(site: Path, names: set[str]) -> None:
    """Give a directory what distributions have in site-packages."""
    for name in names:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {".."}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def _imported() -> set[str]:
    """All modules of the program, and all that are imported anywhere in them, in functions too."""
    modules = set()
    for path in (path for package in ("controller", "apps", "topology") for path in (ROOT / package).rglob("*.py")):
        modules.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    return {module for module in modules if not module.startswith(OF_AN_EXTRA)}


def test_what_the_program_imports_is_in_the_image(tmp_path: Path) -> None:
    """It was installed with it and not taken away again: commands import theirs only when they are called."""
    (line,) = (line for line in STAGES["build"].all("RUN") if "pip uninstall" in line)
    words = line.partition("pip uninstall")[2].partition("&&")[0].split()
    removed = {canonicalize_name(word) for word in words if not word.startswith("-")}
    _lay_out(tmp_path, _installed("tunbridge") - {"tunbridge"} - removed)
    script = (
        "import importlib, sys; sys.path += sys.argv[1:3]; [importlib.import_module(name) for name in sys.argv[3:]]"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(ROOT), str(tmp_path), *sorted(_imported())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
