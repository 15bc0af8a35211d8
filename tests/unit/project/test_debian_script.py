"""What ``make test-debian`` does before there is a tree; the rest of it is run by that itself."""

from __future__ import annotations

import subprocess
import sys

from scripts.test_debian import EXIT_UNAVAILABLE, Source, sources_like
from tests.support.host.tunbridge import ROOT

TARGETS = """\
Debian|main|Packages|bookworm-updates|http://mirror.example/debian/|/usr/share/keyrings/a.gpg
Debian|main|Translations|bookworm|http://mirror.example/debian/|/usr/share/keyrings/a.gpg
Debian|main|Packages|bookworm|http://mirror.example/debian/|/usr/share/keyrings/a.gpg
Debian|contrib|Packages|bookworm|http://mirror.example/debian/|/usr/share/keyrings/a.gpg
Debian|main|Packages|bookworm-security|http://other.example/security/|$(SIGNED_BY)
Debian|main|Packages|sid|http://mirror.example/debian/|$(SIGNED_BY)
Somebody|main|Packages|bookworm|http://somebody.example/|$(SIGNED_BY)
"""


def test_another_release_comes_from_where_ours_does() -> None:
    """Debian's own packages alone, the release before what is added to it; a key that is named goes along."""
    keyring = "/usr/share/keyrings/a.gpg"
    found = sources_like(TARGETS, "bookworm", "trixie")
    assert found == [
        Source("http://mirror.example/debian/", "trixie", keyring),
        Source("http://other.example/security/", "trixie-security", None),
        Source("http://mirror.example/debian/", "trixie-updates", keyring),
    ]
    assert found[0].line() == f"deb [signed-by={keyring}] http://mirror.example/debian/ trixie main\n"
    assert found[1].line() == "deb http://other.example/security/ trixie-security main\n"
    assert sources_like(TARGETS, "trixie", "forky") == []


def test_without_root_nothing_is_tested_and_said_to_be() -> None:
    """The status is neither that of a success nor that of a failure."""
    script = "import os, sys; os.geteuid = lambda: 1000; from scripts.test_debian import main; sys.exit(main())"
    argv = [sys.executable, "-c", script, "trixie"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr.startswith("make test-debian: nothing was tested: ") and "take root" in done.stderr
