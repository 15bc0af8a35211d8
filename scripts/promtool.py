"""Has Prometheus' own promtool check the alert rules and the dashboard's queries of the examples.

promtool is a part of Debian's package ``prometheus``. Where it is not on the PATH, that package is downloaded and
unpacked below ``.run``: installed, it would start a server on this machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from tests.support.dashboard import queries

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "examples" / "alerts.yaml"
_UNPACKED = ROOT / ".run" / "promtool"


def find() -> str | None:
    """Path of promtool; None: it is not there."""
    unpacked = _UNPACKED / "usr" / "bin" / "promtool"
    return shutil.which("promtool") or (str(unpacked) if unpacked.exists() else None)


def fetch() -> None:
    """Have it unpacked.

    :raises subprocess.CalledProcessError: apt-get or dpkg-deb could not
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "--quiet", "prometheus"], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        _UNPACKED.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "--extract", str(package), str(_UNPACKED)], check=True)


def check(promtool: str) -> list[str]:
    """What it says against them; nothing where all is well."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "dashboard.yaml"
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
        asked.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        for file in (ALERTS, asked):
            done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                problems.append(f"{file.name}: {done.stdout}{done.stderr}")
    return problems


def main() -> int:
    """:returns: exit status"""
    if find() is None:
        fetch()
    promtool = find()
    assert promtool is not None, "the package has no promtool"
    problems = check(promtool)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"promtool: {ALERTS.name} and {len(queries())} queries of the dashboard are what Prometheus reads")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
