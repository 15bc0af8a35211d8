"""The dependency rule: ``controller`` → ``apps`` → ``topology``, never back, and what each may take from outside.

It is what lets every rule of the pipeline be tested without a switch, and what keeps the topology usable by programs
that are no controller. Imports inside functions and under ``TYPE_CHECKING`` count.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Rule:
    """What the modules below a package may import, beside the standard library.

    :param allowed: packages or modules, with all that is below them
    :param standard: modules of the standard library; None: all
    """

    allowed: frozenset[str]
    standard: frozenset[str] | None = None


# What apps use of the standard library computes and nothing else: no I/O, no clock, no chance, no threads.
PURE = frozenset(
    {
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "ipaddress",
        "itertools",
        "math",
        "operator",
        "re",
        "struct",
        "types",
        "typing",
    }
)
_TOPOLOGY = frozenset({"topology", "netaddr"})
RULES = {
    "topology": Rule(_TOPOLOGY),
    "topology.documents": Rule(_TOPOLOGY | {"yaml"}),  # a topology document is YAML
    "topology.ovsdb": Rule(_TOPOLOGY | {"ovs", "ovsdbapp"}),
    "topology.database": Rule(_TOPOLOGY | {"ovs", "ovsdbapp"}),
    "topology.server": Rule(_TOPOLOGY | {"ovs", "ovsdbapp"}),
    # topology.errors is the one exception tree of the project, CompileError of the apps included.
    "apps": Rule(
        frozenset({"apps", "immutables", "netaddr", "topology.model", "topology.security_groups", "topology.errors"}),
        PURE,
    ),
}
CONTROLLER_NEVER = frozenset({"bench", "scripts", "tests"})
"""The controller may import everything, but what is not installed with it."""


def _below(name: str, packages: frozenset[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import; of ``from a import b`` both ``a`` and ``b`` count, as ``a.b``.

    :param module: dotted name of the module that the source is of
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def rule_for(module: str) -> Rule | None:
    """The rule of the innermost package that the module belongs to; None for the controller."""
    matching = [package for package in RULES if _below(module, frozenset({package}))]
    return RULES[max(matching, key=len)] if matching else None


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the module imports and must not, one sentence each."""
    rule = rule_for(module)
    found = []
    for line, name in imports(source, module, is_package=is_package):
        top = name.partition(".")[0]
        if rule is None:
            permitted = top not in CONTROLLER_NEVER
        elif top in sys.stdlib_module_names:
            permitted = rule.standard is None or top in rule.standard
        else:
            permitted = _below(name, rule.allowed)
        if not permitted:
            found.append(f"{module}:{line} imports {name}")
    return found


def modules() -> Iterator[tuple[Path, str]]:
    """Path and dotted name of each module of the product."""
    for package in ("topology", "apps", "controller"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_modules_keep_the_rule() -> None:
    checked = dict(modules())
    found = [
        violation
        for path, module in checked.items()
        for violation in violations(path.read_text(), module, is_package=path.name == "__init__.py")
    ]
    assert {"topology.model", "apps.framework.flow", "controller.config.config"} <= set(checked.values())
    assert not found, "\n".join(found)


def _imported(source: str) -> Iterator[ast.AST]:
    """All nodes of a module but ``if __name__ == "__main__":``, which whoever imports it does not run."""
    for statement in ast.parse(source).body:
        if not (isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"):
            yield from ast.walk(statement)


def test_apps_open_no_files() -> None:
    """``open`` needs no import."""
    calls = [
        f"{module}:{node.lineno} calls {node.func.id}"
        for path, module in modules()
        if _below(module, frozenset({"apps"}))
        for node in _imported(path.read_text())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "input", "print"}
    ]
    assert not calls, "\n".join(calls)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("topology.model", "import apps.framework.flow"),
        ("topology.model", "from controller import config"),
        ("topology.store", "import ovsdbapp.api"),
        ("topology.store", "import ovs.db.idl"),
        ("topology.store", "import yaml"),
        ("topology.database.topology_database", "import eventlet"),
        ("topology.database.topology_database", "from os_ken.lib import hub"),
        ("topology.database.topology_database", "import oslo_messaging"),
        ("topology.documents.reader", "import ovsdbapp"),
        ("apps.framework.compiler", "from topology import source"),
        ("apps.framework.compiler", "from topology.database.topology_database import TopologyDatabase"),
        ("apps.framework.compiler", "import topology"),
        ("apps.framework.compiler", "import time"),
        ("apps.framework.compiler", "import socket"),
        ("apps.framework.compiler", "import pydantic"),
        ("apps.framework.compiler", "from os_ken.ofproto import ofproto_v1_3"),
        ("apps.framework.compiler", "def f():\n    import random"),
        ("apps.framework.compiler", "from ...controller import config"),
        ("controller.daemon.process", "from tests.support.host.ovs import OvsHost"),
        ("controller.daemon.process", "from scripts import run"),
    ],
)
def test_a_module_that_breaks_the_rule_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("topology.documents", "import yaml, netaddr, os"),
        ("topology.database.topology_database", "from ovsdbapp.backend.ovs_idl import connection\nimport ovs.poller"),
        ("topology.database.topology_database", "from topology.model import Port"),
        ("apps.framework.compiler", "from topology.model import Port\nfrom topology import model\nfrom . import flow"),
        ("controller.daemon.osken_app", "import apps.framework.compiler, topology.model, os_ken, eventlet, time"),
    ],
)
def test_a_module_that_keeps_the_rule_is_not(module: str, source: str) -> None:
    assert violations(source, module) == []


@pytest.mark.parametrize(
    ("wanted", "never"),
    [
        # Models of documents are a quarter of a second of a start, while new devices wait; HTTP is the child's.
        (
            ("controller.daemon.osken_app", "controller.daemon.api_child", "controller.status.host_metrics"),
            {"topology.documents", "pydantic", "click", "rich", "uvicorn", "controller.network_api", "opentelemetry"},
        ),
        (
            ("controller.daemon.api_process",),
            {
                "topology.documents",
                "pydantic",
                "rich",
                "yaml",
                "keystonemiddleware",
                "controller.agent",
                "os_ken.ofproto",
                "opentelemetry",
            },
        ),
    ],
)
def test_what_a_process_never_loads(wanted: tuple[str, ...], never: set[str]) -> None:
    program = f"import sys, {', '.join(wanted)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded.issuperset(wanted)
    assert not loaded & never


# The order of packages within controller and topology, and what keeps a folder readable.

CONTROLLER = (
    *("cli", "daemon", "dry_run", "plugging", "trace", "top", "status", "agent", "vswitch", "os_ken_apps"),
    *("openflow.tables", "openflow.channel", "openflow.wire", "network_api", "tracing", "pki", "config", "runtime"),
)
TOPOLOGY = ("documents", "server", "database", "rules", "ovsdb")
"""Packages from the top down: each may import those that come after it, and none that come before."""

MAX_MODULES = 15


def _package(module: str, order: tuple[str, ...]) -> str | None:
    """The package of an order that a dotted name below ``controller`` or ``topology`` belongs to."""
    inner = module.partition(".")[2]
    return next((name for name in order if inner == name or inner.startswith(f"{name}.")), None)


def upward(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module imports of a package above its own, one sentence each."""
    top = module.partition(".")[0]
    order = {"controller": CONTROLLER, "topology": TOPOLOGY}.get(top, ())
    own = _package(module, order)
    if own is None:
        return []
    above = order[: order.index(own)]
    return [
        f"{module}:{line} imports {name}, of a package above"
        for line, name in imports(source, module, is_package=is_package)
        if name.partition(".")[0] == top and _package(name, order) in above
    ]


def test_imports_run_down_the_list_of_packages() -> None:
    found = [
        violation
        for path, module in modules()
        for violation in upward(path.read_text(), module, is_package=path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_every_module_of_the_controller_is_in_a_package_of_the_list() -> None:
    """A package that the list does not name would be held to nothing."""
    strays = [
        module
        for path, module in modules()
        for order in [{"controller": CONTROLLER, "topology": TOPOLOGY}.get(module.partition(".")[0], ())]
        if order and module.count(".") > 1 and path.name != "__init__.py" and _package(module, order) is None
    ]
    assert not strays, strays


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("controller.agent.binding", "from controller.status import host_status"),
        ("controller.openflow.wire.codec", "from controller.openflow.tables.sender import Sender"),
        ("controller.runtime.workers", "def f():\n    import controller.config.config"),
        ("topology.rules.operations.draft", "from topology.database.tables import SCHEMA"),
    ],
)
def test_an_import_that_goes_up_is_found(module: str, source: str) -> None:
    assert len(upward(source, module)) == 1


def test_no_folder_has_more_modules_than_one_can_survey() -> None:
    folders: dict[Path, int] = {}
    for path, _ in modules():
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
    crowded = {str(folder.relative_to(ROOT)): number for folder, number in folders.items() if number > MAX_MODULES}
    assert not crowded


def test_names_occur_once() -> None:
    """A module's name, or a public class's, means one thing in the whole tree."""
    places: dict[str, list[str]] = {}
    for path, module in modules():
        if path.name != "__init__.py":
            places.setdefault(f"{path.stem}.py", []).append(module)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice


RETIRED = frozenset(
    {
        *("joint", "joints", "joining", "blind", "stranger", "strangers", "remembered", "hold", "holds", "held"),
        *("rehearsal", "rehearse", "lesson", "lessons", "teach", "teacher", "teaching", "nudge", "nudges", "wish"),
        *("wishes", "verdict", "verdicts", "kept", "its"),
    }
)
"""Words of a private language, each of which hid a term that Open vSwitch, OpenStack or OVN has."""

VAGUE_METHODS = frozenset({"take", "look"})


def retired_names(source: str) -> set[str]:
    """Names of modules, classes, functions, attributes and variables of a source that use a retired word."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
            if node.name.strip("_") in VAGUE_METHODS:
                found.add(node.name)
        elif isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.arg | ast.keyword):
            names.append(node.arg)
        elif isinstance(node, ast.alias):
            names += [node.name, node.asname]
        for name in filter(None, names):
            words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
            if RETIRED & {word.lower() for word in words}:
                found.add(name)
    return found


def test_retired_words_are_in_no_name() -> None:
    found = {module: names for path, module in modules() if (names := retired_names(path.read_text()))}
    assert not found, found


@pytest.mark.parametrize(
    "source", ["class Verdict: pass", "def f(): its = 1", "x.kept_ports", "def take(self): pass", "f(STRANGERS=1)"]
)
def test_a_retired_word_is_found(source: str) -> None:
    assert retired_names(source)
