"""The certificates of docs/security.md are made by its own lines, and pass the strictest verification there is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.certificates import OVS_PKI, Authority

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
PLACE = "/etc/tunbridge/pki"


def shell(directory: Path, lines: str) -> None:
    """Run lines as somebody types them."""
    done = subprocess.run(["bash", "-euc", lines], cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def example(heading: str, number: int = 0) -> str:
    """An indented example below a heading of the page."""
    section = PAGE.read_text().partition(f"### {heading}\n")[2].partition("\n### ")[0]
    examples = [part for part in section.split("\n\n") if part.startswith("    ")]
    return "\n".join(line.removeprefix("    ") for line in examples[number].splitlines())


def verify(directory: Path, authority: str, certificate: str) -> str:
    """Verify as the page says, whatever of it can be verified; what is wrong."""
    argv = ["openssl", "verify", "-x509_strict", "-CAfile", authority, certificate]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stderr


def test_certificates_made_from_nothing_pass_strict_verification(tmp_path: Path) -> None:
    """On each release, whatever its OpenSSL adds by itself; and they have the names that are asked for."""
    lines = example("From nothing, with openssl")
    assert PLACE in lines
    place = tmp_path / "pki"
    shell(tmp_path, lines.replace(PLACE, str(place)))
    for name, alternative in (("topology", "IP Address:192.0.2.10"), ("h1", "DNS:h1"), ("h1-switch", "DNS:h1-switch")):
        assert not verify(place, "ca.pem", f"{name}.pem")
        shell(place, f"openssl x509 -in {name}.pem -noout -ext subjectAltName | grep -Fx '    {alternative}'")


def test_an_authority_made_anew_keeps_what_it_has_certified(tmp_path: Path) -> None:
    """One such as ovs-pki makes is refused by strict verification, and accepted after the lines of the page."""
    authority = Authority(tmp_path, lacks=OVS_PKI)
    certified = authority.certify("h1").certificate.name
    authority.write_key(tmp_path / "ca-key.pem")
    assert "Basic Constraints of CA cert not marked critical" in verify(tmp_path, "ca.pem", certified)
    shell(tmp_path, example("Older authorities"))
    assert not verify(tmp_path, "new.pem", certified)
