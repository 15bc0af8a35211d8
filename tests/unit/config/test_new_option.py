"""An option is one declaration: in a copy of the tree one more is in the sample file, in the manual and in the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DECLARATION = """\
    idle_bridges: int = option("3", kinds.whole_number, "Bridges that may idle, see [hosts](hosts.md)")
"""
IMPORT = "from apps.framework.options import AppOption\n"
OF_AN_APPLICATION = """\
    options = (AppOption("flows", "drop_strays", False, "boolean", "Frames of nobody are dropped."),)
"""
ROW = "| `idle_bridges` | `3` | Bridges that may idle, see [hosts](hosts.md) |"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project with one option more, as a developer would add it."""
    copy = tmp_path_factory.mktemp("tree")
    for folder in ("controller", "apps", "topology", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "controller/config/host_options.py"
    text, times = re.subn(r"(?m)^    vxlan_udp_port: ", f"{DECLARATION}\\g<0>", file.read_text())
    assert times == 1
    file.write_text(text)
    file = copy / "apps/tunnel_bridge.py"
    text, times = re.subn(r"(?m)^    number = ", f"{OF_AN_APPLICATION}\\g<0>", file.read_text())
    assert times == 1
    file.write_text(text.replace("from apps.framework.flow ", f"{IMPORT}from apps.framework.flow ", 1))
    yield copy


def python(tree: Path, *args: str) -> str:
    done = subprocess.run([sys.executable, *args], cwd=tree, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_not_there_without_the_declaration() -> None:
    sample = python(ROOT, "-m", "controller.cli.commands", "config", "sample")
    assert "idle_bridges" not in sample and "drop_strays" not in sample


def test_it_is_in_the_sample_file(tree: Path) -> None:
    sample = python(tree, "-m", "controller.cli.commands", "config", "sample")
    group = sample.partition("[agent]")[2].partition("\n[")[0]
    assert "# Bridges that may idle, see hosts (docs/hosts.md)\n#idle_bridges = 3\n" in group
    assert "\n[flows]\n\n# Of applications (docs/pipeline.md).\n\n# Frames of nobody" in sample
    assert "\n#drop_strays = false\n" in sample


def test_it_is_in_the_table_of_the_manual(tree: Path) -> None:
    page = tree / "docs/configuration.md"
    before = page.read_text().splitlines()
    python(tree, "-m", "controller.config.manual", "docs/configuration.md")
    after = page.read_text().splitlines()
    assert [line for line in after if line not in before] == [
        ROW,
        "## [flows]",
        "Of [applications](pipeline.md).",
        "| `drop_strays` | `false` | Frames of nobody are dropped |",
    ]
    group = page.read_text().partition("## [agent]")[2].partition("\n## ")[0]
    assert ROW in group.splitlines()


def test_files_set_it(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[agent]\nidle_bridges = 5\n[flows]\ndrop_strays = true\n")
    show = (
        "import sys; from controller.config.config import load; given = load(sys.argv[1:]);"
        "print(given.agent.idle_bridges, given.applications['flows.drop_strays'])"
    )
    assert python(tree, "-c", show) == "3 False\n"
    assert python(tree, "-c", show, str(tmp_path / "c")) == "5 True\n"


def test_a_wrong_value_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[agent]\nidle_bridges = few\n")
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli.commands", "--config-file", str(tmp_path / "c"), "status"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = "expected a whole number, -1 for any number"
    assert (done.returncode, done.stderr) == (
        1,
        f"tunbridge: {tmp_path}/c: [agent] idle_bridges = 'few': {expected}\n",
    )
