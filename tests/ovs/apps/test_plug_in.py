"""An application is one module and one entry: that of docs/development.md, plugged into a copy of the tree."""

from __future__ import annotations

import filecmp
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.lab.releases import PACKAGES, Release

pytestmark = pytest.mark.one_hub

MODULE = "apps/drop_lldp.py"
LIST = "apps/__init__.py"
ENTRY = Release(
    "one application more",
    (
        (LIST, r"(?m)^(from apps\.integration_bridge )", r"from apps.drop_lldp import DropLldp\n\1"),
        (LIST, r"(?m)^(    TunnelBridge\(\),\n)", r"\1    DropLldp(),\n"),
    ),
)
LLDP = "dl_type=0x88cc"
APPS = (
    "1 integration bridge, 2 tunnel bridge, 3 physical bridge, 4 L2 population, 5 ARP responder, "
    "6 port security, 7 security groups, 8 port delivery, 9 drop counters"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the application of the manual."""
    manual = (ROOT / "docs" / "development.md").read_text()
    (module,) = re.findall(rf"as `{MODULE}`:\n\n```python\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    copy = ENTRY.make(tmp_path_factory.mktemp("plugged") / "tree")
    (copy / MODULE).write_text(module)
    return copy


def python(tree: Path, *args: str) -> str:
    done = subprocess.run([sys.executable, *args], cwd=tree, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_other_file_of_the_project_is_touched(tree: Path) -> None:
    files = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {file for file in files if not filecmp.cmp(ROOT / file, tree / file, shallow=False)} == {Path(LIST)}
    made = {path.relative_to(tree) for path in tree.rglob("*.py")}
    assert made - files == {Path(MODULE)}


def test_the_pipeline_page_shows_it(tree: Path) -> None:
    """With its band, its flows and its number, and all else as before."""
    page = python(tree, "-m", "apps.framework.pipeline_page").splitlines()
    before = (ROOT / "docs" / "pipeline.md").read_text().splitlines()
    assert [line for line in before if line not in page] == [f"| 47–40 | the app: {APPS} |"]
    new = [line for line in page if line not in before]
    assert new == [
        "| 9 | INT_DROP_LLDP | bound port | `dl_type`, `in_port` | drop |",
        "### 9: INT_DROP_LLDP",
        "With the option `drop_lldp`: a bound port sends no LLDP.",
        *(f"priority=9,in_port={ofport},{LLDP} actions=drop" for ofport in (1, 2, 5, 8)),
        f"| 47–40 | the app: {APPS}, 200 LLDP filter |",
    ]


def test_it_is_installed_and_switched_off_again(tree: Path, ovs: OvsHost, hub: str, report_logs: list[Path]) -> None:
    """Each bound port has its flow on a real switch while the option is on."""
    tunbridge = Tunbridge(ovs, hub=hub, options={"flows": {"drop_lldp": "true"}})
    tunbridge.root = tree
    report_logs.append(tunbridge.log)
    network = new_network()
    ports = [new_port(network) for _ in range(2)]
    with tunbridge:
        host = Host(ovs, tunbridge)
        host.add_networks(network)
        host.wire(*ports)
        ofports = {ovs.ofport(port.name) for port in ports}
        assert set(host.wait_flows("br-int", LLDP, 2)) == {
            f"priority=9,in_port={ofport},{LLDP} actions=drop" for ofport in ofports
        }
        tunbridge.wait_in_sync()

        switch(tunbridge, "true", "false")
        tunbridge.restart()
        host.wait_flows("br-int", LLDP, 0)
        for port in ports:
            host.assert_bound(port)
        tunbridge.wait_in_sync()

        switch(tunbridge, "false", "true")
        tunbridge.restart()
        host.wait_flows("br-int", LLDP, 2)


def test_a_wrong_value_of_its_option_is_refused(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "tunbridge.conf"
    file.write_text("[flows]\ndrop_lldp = perhaps\n")
    program = "import sys; from controller.config.config import load; print(dict(load(sys.argv[1:]).applications))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], cwd=tree, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "[flows] drop_lldp = 'perhaps': expected true or false" in done.stderr


def switch(tunbridge: Tunbridge, old: str, new: str) -> None:
    """Change the option in the file of the controller."""
    text = tunbridge.config_file.read_text()
    assert f"drop_lldp = {old}" in text
    tunbridge.config_file.write_text(text.replace(f"drop_lldp = {old}", f"drop_lldp = {new}"))
