"""The dependency rule: ``controller`` → ``apps`` → ``topology``, never back, and what each may take from outside.

It is what lets every rule of the pipeline be tested without a switch, and what keeps the topology usable by programs
that are no controller. Imports inside functions and under ``TYPE_CHECKING`` count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
_TOPOLOGY = frozenset({"topology", "netaddr", "pydantic"})
RULES = {
    "topology": Rule(_TOPOLOGY),
    "topology.documents": Rule(_TOPOLOGY | {"yaml"}),  # a topology document is YAML
    "topology.ovsdb": Rule(_TOPOLOGY | {"ovs", "ovsdbapp"}),
    "topology.neutron": Rule(_TOPOLOGY | {"oslo_messaging"}),
    # topology.errors is the one exception tree of the project, CompileError of the apps included.
    "apps": Rule(frozenset({"apps", "netaddr", "topology.model", "topology.errors"}), PURE),
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
    assert {"topology.model", "apps.flow", "controller.config"} <= set(checked.values())
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
        ("topology.model", "import apps.flow"),
        ("topology.model", "from controller import config"),
        ("topology.store", "import ovsdbapp.api"),
        ("topology.store", "import ovs.db.idl"),
        ("topology.store", "import yaml"),
        ("topology.ovsdb.database", "import eventlet"),
        ("topology.ovsdb.database", "from os_ken.lib import hub"),
        ("topology.ovsdb.database", "import oslo_messaging"),
        ("topology.neutron.source", "import ovsdbapp"),
        ("apps.compile", "from topology import source"),
        ("apps.compile", "from topology.ovsdb.database import TopologyDatabase"),
        ("apps.compile", "import topology"),
        ("apps.compile", "import time"),
        ("apps.compile", "import socket"),
        ("apps.compile", "import pydantic"),
        ("apps.compile", "from os_ken.ofproto import ofproto_v1_3"),
        ("apps.compile", "def f():\n    import random"),
        ("apps.compile", "from ..controller import config"),
        ("controller.main", "from tests.support.ovs import OvsHost"),
        ("controller.main", "from scripts import run"),
    ],
)
def test_a_module_that_breaks_the_rule_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("topology.documents", "import yaml, pydantic, netaddr, os"),
        ("topology.ovsdb.database", "from ovsdbapp.backend.ovs_idl import connection\nimport ovs.poller"),
        ("topology.ovsdb.database", "from topology.model import Port"),
        ("apps.compile", "from topology.model import Port\nfrom topology import model\nfrom . import flow"),
        ("controller.app", "import apps.compile, topology.model, os_ken, eventlet, time"),
    ],
)
def test_a_module_that_keeps_the_rule_is_not(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_a_controller_loads_nothing_of_documents() -> None:
    """Their models are a quarter of a second of a start, while new devices wait."""
    program = "import sys, controller.app, controller.api.service; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "controller.api.service" in loaded
    assert not loaded & {"topology.documents", "pydantic", "click", "rich"}
