"""The manual is true: generated pages, links, commands, options and reasons are those of the code."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from apps.framework import pipeline_page
from controller.agent import binding, local_networks, port_states
from controller.cli import commands, common_options
from controller.config import config, manual
from controller.daemon import process
from controller.status import events_page, remedies

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ROOT / "docs" / "commands.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"

OTHER_PROGRAMS_OPTIONS = ROOT / "docs" / "configuration.md"
"""Names options of Neutron beside ours, and has tests of its own."""

KEYSTONE = "keystone_authtoken"
"""Group of keystonemiddleware, which the test of that reads as the manual shows it."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_pipeline_page_is_what_the_generator_writes() -> None:
    """Whoever changes a flow or a band sees the page change with it."""
    assert (ROOT / "docs" / "pipeline.md").read_text() == pipeline_page.page()


def test_the_tables_of_options_are_what_the_generator_writes() -> None:
    """Whoever declares an option has it in the manual."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text == manual.page(text)


def test_the_page_of_events_is_what_the_generator_writes() -> None:
    """Whoever declares a kind of events has it in the manual."""
    assert (ROOT / "docs" / "events.md").read_text() == events_page.page()


# Links


def _anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that is in it."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(file), f"{page.name}: {target}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    """A page of the manual can be found."""
    linked = set(re.findall(r"\]\((docs/[^)#]*)", (ROOT / "README.md").read_text()))
    assert linked >= {str(page.relative_to(ROOT)) for page in PAGES[1:]}


# Paths and modules


FOLDERS = "apps|bench|containers|controller|docs|examples|packaging|scripts|tests|topology"
PATH = re.compile(rf"(?<![\w./:-])((?:{FOLDERS})/[\w./*-]*)")
MODULE = re.compile(r"(?<![\w./:-])((?:apps|bench|controller|scripts|tests|topology)(?:\.[A-Za-z_]\w*)+)")
OTHER_FILES = {"backup", "conf", "ctl", "db", "lock", "log", "md", "pid", "sock", "yaml"}
"""Endings by which a file that is no module is known: ``topology.db``, ``controller.log``."""


def _module_exists(dotted: str) -> bool:
    """A module or package, a name that one defines, or a logger that is called so."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        if length == len(parts) and place.is_dir():
            return True
        source = place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__init__.py"
        if source.exists() and (length == len(parts) or parts[length] in _defined(source)):
            return True
    return f'getLogger("{dotted}")' in _SOURCES


def _defined(source: Path) -> set[str]:
    names = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


_SOURCES = "".join(path.read_text() for path in sorted((ROOT / "controller").rglob("*.py")))


TO_BE_MADE = ("apps/drop_lldp.py", "apps.drop_lldp")
"""The application that docs/development.md shows, which tests/ovs/apps/test_plug_in.py makes of it."""


def missing(text: str) -> list[str]:
    """Paths and modules that a text names, and that are not there."""
    for name in TO_BE_MADE:
        text = text.replace(f"{name}`", "").replace(f"from {name} ", "")
    paths = (path.rstrip(".") for path in PATH.findall(text))
    modules = (name for name in MODULE.findall(text) if name.split(".")[1] not in OTHER_FILES)
    return [path for path in paths if not any(ROOT.glob(path))] + [name for name in modules if not _module_exists(name)]


@each_page
def test_paths_and_modules_named_exist(page: Path) -> None:
    assert not missing(page.read_text())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see `controller/wiring.py`.", ["controller/wiring.py"]),
        ("pytest tests/ovs/test_hostile_*.py", ["tests/ovs/test_hostile_*.py"]),
        ("… INFO controller.app bridge br-int made", ["controller.app"]),
        ("`apps.framework.flow.Flew`", ["apps.framework.flow.Flew"]),
        ("`apps.framework.nothing.Flow`", ["apps.framework.nothing.Flow"]),
        (
            "`controller/config/`, `controller.config.config.Config`, `tests.support.lab`, tests/unit/*/test_docs.py",
            [],
        ),
        ("run_path/topology.sock and controller.log", []),
    ],
)
def test_what_does_not_exist_is_found(text: str, found: list[str]) -> None:
    assert missing(text) == found


TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def missing_tests(text: str) -> list[str]:
    """Tests that a text names, and that are not there."""
    return [f"{file}::{name}" for file, name in TEST.findall(text) if name not in _tests_in(ROOT / file)]


def _tests_in(file: Path) -> set[str]:
    return {name for name in _defined(file) if name.startswith("test_")} if file.exists() else set()


@each_page
def test_tests_named_exist(page: Path) -> None:
    assert not missing_tests(page.read_text())


def test_a_test_that_does_not_exist_is_found() -> None:
    here = "tests/unit/project/test_docs.py"
    text = f"`{here}::test_tests_named_exist`, `{here}::test_nothing`, `{here}::each_page`, `tests/none.py::test_it`"
    assert missing_tests(text) == [f"{here}::test_nothing", f"{here}::each_page", "tests/none.py::test_it"]


def test_each_line_on_who_can_do_what_has_its_test() -> None:
    """A line of the isolation tables is a promise that something holds."""
    tables = _sections(ROOT / "docs/security.md")["Who can do what"].partition("### What stays possible")[0]
    rows = [row for row in tables.splitlines() if re.match(r"\| (?!---)", row) and "| shown by |" not in row]
    assert len(rows) > 20
    assert [row for row in rows if not TEST.search(row) and not row.endswith("| the same |")] == []


def _log_formats(module: str) -> Iterator[re.Pattern[str]]:
    """What a module logs, as patterns."""
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "LOG"
        ):
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            for text in filter(lambda value: isinstance(value, str), texts):
                yield re.compile(
                    re.sub(r"%[\d.]*\w", ".*", re.escape(str(text)).replace("\\%", "%").replace("\\.", "."))
                )


LOG_LINE = re.compile(r"(?:INFO|WARNING|ERROR) ((?:controller|topology)[\w.]+) (.+(?:\n      .+)?)")
"""A line of the log, which may go on, further indented, on the next line of the page."""


def unlogged(text: str) -> list[str]:
    """Lines of the log in a text that the module that they name does not write."""
    found = []
    for module, shown in LOG_LINE.findall(text):
        ways = (shown.partition("\n")[0], " ".join(shown.split()))
        if not any(one.match(way) for one in _log_formats(module) for way in ways):
            found.append(f"{module} {ways[0]}")
    return found


@each_page
def test_lines_of_the_log_are_of_the_modules_that_they_name(page: Path) -> None:
    assert not unlogged(page.read_text())


def test_a_line_that_its_module_does_not_log_is_found() -> None:
    shown = (
        "… INFO controller.daemon.process bridge br-int made\n"
        "… INFO controller.daemon.process serving host h1: OpenFlow at x, topology y\n"
    )
    assert unlogged(shown) == ["controller.daemon.process bridge br-int made"]


@pytest.mark.parametrize("folder", ["apps", "controller", "scripts", "tests", "topology"])
def test_what_docstrings_refer_to_exists(folder: str) -> None:
    """``:mod:`` and the like, with a dotted name of ours."""
    found = {
        f"{path.relative_to(ROOT)}: {dotted}"
        for path in (ROOT / folder).rglob("*.py")
        for dotted in re.findall(rf":\w+:`((?:{FOLDERS})\.[\w.]+)`", path.read_text())
        if not _module_exists(dotted)
    }
    assert not found, found


# Commands


def _command_lines(text: str) -> Iterator[str]:
    """``tunbridge …`` as it stands in code: spans, indented or fenced lines, with a prompt or a path, and headings."""
    yield from re.findall(r"`(tunbridge(?: [^`\n]*)?)`", text)
    for line in text.replace("\\\n", " ").splitlines():
        found = re.match(r"(?:## |\s*(?:ExecStart=|\$ )?(?:sudo )?(?:\S*/)?)(tunbridge( .*|$))", line)
        if found and (line.startswith(("    ", "$", "##", "tunbridge", "ExecStart", "sudo", ".venv"))):
            yield found[1]


def _words(line: str) -> list[str]:
    """The arguments, without a comment and what the shell does with the output."""
    words = shlex.split(line, comments=True)[1:]
    end = next((place for place, word in enumerate(words) if word in ("|", ">", "&&", "&", ";")), len(words))
    return words[:end]


def _leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _leaves(child, (*path, name))
    else:
        yield " ".join(path), command


LEAVES = dict(_leaves(commands.cli))


def test_command_lines_are_found() -> None:
    """The search below does not pass because it finds nothing."""
    assert list(
        _command_lines("see `tunbridge status`:\n\n    $ tunbridge flows br-tun --diff\n## tunbridge run\n")
    ) == [
        "tunbridge status",
        "tunbridge flows br-tun --diff",
        "tunbridge run",
    ]


@each_page
def test_commands_shown_are_commands(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ``tunbridge`` command line in the manual is understood by the program."""
    for leaf in LEAVES.values():
        monkeypatch.setattr(leaf, "callback", lambda **_: None)
    synopses = {_synopsis(path, command) for path, command in LEAVES.items()}
    for line in _command_lines(page.read_text()):
        words = _words(line)
        if not words or " ".join(words) in LEAVES or f"tunbridge {' '.join(words)}" in synopses:
            continue  # the name of the program or of a command, not one to be typed
        try:
            commands.cli.main(words, prog_name="tunbridge", standalone_mode=False)
        except click.ClickException as error:
            pytest.fail(f"{page.name}: `{line}`: {error.format_message()}")


def _sections(page: Path) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _synopsis(path: str, command: click.Command) -> str:
    arguments = [parameter.make_metavar(click.Context(command)) for parameter in command.params
                 if isinstance(parameter, click.Argument)]  # fmt: skip
    return " ".join(["tunbridge", path, *arguments])


def test_the_page_of_commands_has_all_of_them() -> None:
    """docs/commands.md has each command with its arguments, and none that does not exist."""
    described = {heading for heading in _sections(COMMANDS) if heading.startswith("tunbridge ")}
    assert described == {_synopsis(path, command) for path, command in LEAVES.items()}


@pytest.mark.parametrize("path", LEAVES)
def test_the_page_of_commands_has_all_options(path: str) -> None:
    """docs/commands.md has the options of a command, and none that it does not take."""
    command = LEAVES[path]
    section = _sections(COMMANDS)[_synopsis(path, command)]
    options = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == options


def test_exit_statuses_are_those_of_the_program() -> None:
    """docs/commands.md has each exit status once."""
    statuses = {process.EXIT_OK, process.EXIT_REFUSED, process.EXIT_DIED}
    statuses |= {common_options.EXIT_ERROR, common_options.EXIT_USAGE}
    statuses |= {common_options.EXIT_OUT_OF_SYNC, common_options.EXIT_INTERRUPTED}
    described = re.findall(r"^\| (\d+) \|", _sections(COMMANDS)["Exit status"], re.MULTILINE)
    assert [int(status) for status in described] == sorted(statuses)


# Options


OPTIONS = config.declared_options()


@each_page
def test_options_named_exist(page: Path) -> None:
    """``[group] option`` in the manual is an option of the configuration."""
    if page == OTHER_PROGRAMS_OPTIONS:
        return
    for group, option in re.findall(r"`\[(\w+)\] (\w+)", page.read_text()):
        assert option in OPTIONS.get(group, {}), f"{page.name}: [{group}] {option}"


@each_page
def test_configuration_files_shown_are_read(page: Path, tmp_path: Path) -> None:
    """A configuration file in the manual has known options only, and is accepted."""
    for text in re.findall(r"^```ini\n(\[(?!Unit).*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        parser = ConfigParser(default_section="")
        parser.read_string(text)
        ours = [group for group in parser.sections() if group != KEYSTONE]
        assert {group: set(parser[group]) - OPTIONS.get(group, {}).keys() for group in ours} == {
            group: set() for group in ours
        }
        (tmp_path / "shown.conf").write_text(text)
        config.load([str(tmp_path / "shown.conf")])


def test_the_systemd_units_shown_are_those_to_be_copied() -> None:
    """The units in docs/operations.md are those in packaging/."""
    shown = re.findall(
        r"^```ini\n(\[Unit\].*?|# For /etc/systemd.*?)^```",
        (ROOT / "docs/operations.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert shown == [
        (ROOT / "packaging" / "systemd" / name).read_text() for name in ("tunbridge.service", "openvswitch.conf")
    ]


# Reasons


DECIDERS = {
    binding: {"uncarried", "_refusal", "_binding"},
    local_networks: set(),
    port_states: {"state", "_failure", "_find_refused"},
}
"""Where the reasons come from that ``tunbridge status`` gives: module → functions."""


def _texts(node: ast.AST) -> Iterator[str]:
    """Strings of a function, with … for what is filled in; not its docstring, nor what is inside another string."""
    if isinstance(node, ast.JoinedStr):
        yield re.sub(
            "…+", "…", "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        )
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                yield from _texts(child)


def _reasons() -> set[str]:
    reasons = {local_networks.NO_VLAN_LEFT}
    for module, functions in DECIDERS.items():
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in functions:
                reasons.update(text for text in _texts(node) if " " in text.strip() and re.search("[a-z]{2}", text))
    return reasons


def test_every_reason_is_explained() -> None:
    """docs/troubleshooting.md has each reason that a port can be kept from ACTIVE for, and no other."""
    section = _sections(TROUBLESHOOTING)["A port is not ACTIVE"]
    assert set(re.findall(r"^\| `([^`]*)` \|", section, re.MULTILINE)) == _reasons()


def test_what_to_do_is_what_the_program_says() -> None:
    """``tunbridge explain`` has the words of docs/troubleshooting.md, and knows each reason with names filled in."""
    section = _sections(TROUBLESHOOTING)["A port is not ACTIVE"]
    rows = dict(re.findall(r"^\| `([^`]*)` \| \w+ \| (.*) \|$", section, re.MULTILINE))
    plain = {reason: re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words).replace("`", "") for reason, words in rows.items()}
    assert plain == remedies.REMEDIES
    for reason in rows:
        assert remedies.remedy(reason.replace("…", "x y: z")) == plain[reason]
    assert remedies.remedy("no reason of ours") is None
