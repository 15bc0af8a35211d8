"""``tunbridge tls``: certificates that the strictest peer accepts, files that are nobody else's, nothing lost."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from pathlib import Path

import click
import pytest

from controller.pki.certificate_authority import read_certificate
from controller.pki.certificate_folder import CertificateFolder
from tests.support.certificates import Authority
from tests.support.issued import IssuedCertificates, days_ago, tls
from topology.errors import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of an authority."""
    tls(tmp_path / "pki", "init")
    return tmp_path / "pki"


def contents(folder: Path) -> dict[str, bytes]:
    """All files, also those that links lead to."""
    files = sorted([*folder.glob("*.pem"), *folder.glob("*/*.pem")])
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def verified(folder: Path, name: str) -> bool:
    """Whether OpenSSL accepts a certificate and its authority in its strict mode."""
    ca = folder / name / "ca.pem"
    argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, folder / name / "cert.pem"]
    return subprocess.run(argv, capture_output=True).returncode == 0


def handshake(folder: Path, server: str, client: str, host: str) -> None:
    """Both ends verify as Python 3.13 does unless told otherwise."""
    ends = []
    for purpose, name in ((ssl.Purpose.CLIENT_AUTH, server), (ssl.Purpose.SERVER_AUTH, client)):
        context = ssl.create_default_context(purpose, cafile=folder / name / "ca.pem")
        context.load_cert_chain(folder / name / "cert.pem", folder / name / "key.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        ends.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        ends[0].wrap_bio(to_server, to_client, server_side=True),
        ends[1].wrap_bio(to_client, to_server, server_hostname=host),
    ]
    for _ in range(4):
        for end in waiting:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = waiting[0].getpeercert()
    assert certificate is not None and certificate["subject"] == ((("commonName", client),),)


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (["--for", "192.0.2.10"], "192.0.2.10"),
        ([], "topology"),
        (["--for", "2001:db8::1", "--for", "db.example"], "db.example"),
    ],
    ids=["address", "own name", "several"],
)
def test_what_is_issued_passes_strict_verification_on_both_sides(folder: Path, words: list[str], host: str) -> None:
    tls(folder, "issue", "topology", *words)
    tls(folder, "issue", "h1.example")
    assert verified(folder, "topology")
    handshake(folder, "topology", "h1.example", host)


def test_only_the_owner_reads_keys(folder: Path) -> None:
    """Whatever the umask; certificates may be read, as far as the folder may."""
    tls(folder, "issue", "h1")
    modes = {file.name: file.stat().st_mode & 0o777 for file in [*folder.glob("*.pem"), *folder.glob("h1/*")]}
    assert modes == {"ca-key.pem": 0o600, "ca.pem": 0o644, "key.pem": 0o600, "cert.pem": 0o644}
    assert [one.stat().st_mode & 0o777 for one in (folder, folder / "h1")] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init"], "ca-key.pem is there already"),
        (["issue", "h1"], "h1 is there already: `tunbridge tls renew h1`"),
        (["issue", "../h2"], "name '../h2': expected 1 to 64 letters"),
        (["issue", "x" * 65], "expected 1 to 64 letters"),
        (["issue", "ca.pem"], "name 'ca.pem'"),
        (["issue", "h2", "--for", "10.0.0"], "'10.0.0' is neither an IP address nor a DNS name"),
        (["issue", "h2", "--for", "a b"], "neither an IP address"),
        (["renew", "h1", "h3"], "has no certificate h3: `tunbridge tls list`"),
        (["renew", "ca.pem"], "name 'ca.pem'"),
        (["revoke", "h3"], "has no certificate h3"),
        (["install", "{folder}/h1"], "h1 is there already: --replace"),
        (["install", "{folder}"], "cannot read"),
    ],
)
def test_what_cannot_be_done_changes_nothing(folder: Path, words: list[str], said: str) -> None:
    tls(folder, "issue", "h1")
    before = contents(folder)
    with pytest.raises(ConfigError) as caught:
        tls(folder, *(word.format(folder=folder) for word in words))
    assert said in str(caught.value)
    assert contents(folder) == before
    assert len(list(folder.iterdir())) == 4


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    """What somebody has put in the place of a file of ours is neither written to nor taken for ours."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "h1").symlink_to(victim)
    for words in (["issue", "h1"], ["renew", "h1"], ["revoke", "h1"]):
        with pytest.raises(ConfigError, match="h1"):
            tls(folder, *words)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "ca.pem").symlink_to(victim)
    with pytest.raises(ConfigError, match="is there already"):
        tls(other, "init")
    (folder / "ca-key.pem").unlink()
    (folder / "ca-key.pem").symlink_to(victim)
    with pytest.raises(ConfigError, match="a symbolic link"):
        tls(folder, "issue", "h2")
    assert victim.read_text() == "mine"


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ConfigError, match="may be written by everybody"):
        tls(shared, "init")
    assert not list(shared.iterdir())


def test_renewal_makes_another_key_for_the_same_names(folder: Path) -> None:
    """And one folder holds the old set, the other the new one: whoever reads through the link has all of one."""
    tls(folder, "issue", "topology", "--for", "192.0.2.10", "--for", "db.example")
    before, place = contents(folder), (folder / "topology").resolve()
    tls(folder, "renew", "topology")
    after = contents(folder)
    assert (folder / "topology").resolve() != place and not place.exists()
    assert after["ca.pem"] == before["ca.pem"]
    assert after["topology/key.pem"] != before["topology/key.pem"]
    assert CertificateFolder(folder).find("topology").info.alternatives == ("192.0.2.10", "db.example")
    assert verified(folder, "topology")


def test_what_has_expired_is_named_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The status is for scripts."""
    issued = IssuedCertificates(tmp_path / "pki")
    issued.identity("h1", expired=True)
    issued.identity("h2")
    assert tls(issued.folder, "list", "--expiring", "0") == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("; EXPIRED: `tunbridge tls renew h1`")
    assert lines[1].startswith("h2: until ") and lines[1].endswith(", for 127.0.0.1")
    assert tls(issued.folder, "renew", "--expiring", "5") == 0
    assert capsys.readouterr().out.startswith(f"renewed {issued.folder}/h1 (until ")
    assert tls(issued.folder, "list") == 3
    assert re.search(r"^h2: until .*; expires in (9|10) days: `tunbridge tls renew h2`$", capsys.readouterr().out, re.M)
    assert tls(issued.folder, "list", "--expiring", "9") == 0
    with pytest.raises(click.UsageError):
        tls(issued.folder, "renew")
    with pytest.raises(click.UsageError):
        tls(issued.folder, "renew", "h1", "--expiring", "3")


def test_nothing_outlives_its_authority(folder: Path, tmp_path: Path) -> None:
    """And an authority that has expired certifies nobody."""
    with days_ago(10):
        CertificateFolder(tmp_path / "short").create("short", 11)
        CertificateFolder(tmp_path / "gone").create("gone", 9)
    made = CertificateFolder(tmp_path / "short").issue("h1", (), 800)
    assert made.info.ends == read_certificate((tmp_path / "short" / "ca.pem").read_bytes()).ends
    with pytest.raises(ConfigError, match="the authority itself has expired"):
        tls(tmp_path / "gone", "issue", "h1")


def test_a_set_is_installed_elsewhere_as_a_whole(folder: Path, tmp_path: Path) -> None:
    """As the machine that it is for does with what was copied to it."""
    tls(folder, "issue", "h1")
    tls(tmp_path / "host", "install", str(folder / "h1"))
    assert contents(tmp_path / "host" / "h1") == contents(folder / "h1")
    assert verified(tmp_path / "host", "h1")
    tls(folder, "renew", "h1")
    tls(tmp_path / "host", "install", str(folder / "h1"), "--replace")
    assert contents(tmp_path / "host" / "h1") == contents(folder / "h1")
    assert len(list((tmp_path / "host").iterdir())) == 2


@pytest.mark.parametrize("fault", ["another key", "another authority", "expired", "no certificate"])
def test_a_set_that_does_not_go_together_is_not_installed(tmp_path: Path, fault: str) -> None:
    issued = IssuedCertificates(tmp_path / "pki")
    issued.identity("h1", expired=fault == "expired")
    issued.identity("h2")
    place = issued.folder / "h1"
    if fault == "another key":
        (place / "key.pem").write_bytes((issued.folder / "h2" / "key.pem").read_bytes())
    elif fault == "another authority":
        (place / "ca.pem").write_bytes(Authority(tmp_path).ca_cert.read_bytes())
    elif fault == "no certificate":
        (place / "cert.pem").write_text("")
    with pytest.raises(ConfigError):
        tls(tmp_path / "host", "install", str(place))
    assert not (tmp_path / "host").exists()


def test_revocation_is_another_authority_for_all_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("h1", "h2", "topology"):
        tls(folder, "issue", name)
    before, stolen = contents(folder), (folder / "h2" / "cert.pem").read_bytes()
    tls(folder, "revoke", "h2")
    said = capsys.readouterr().out
    assert said.count("install it where it is used") == 2 and "connections that stand go on" in said
    assert [one.folder.name for one in CertificateFolder(folder).sets()] == ["h1", "topology"]
    assert verified(folder, "h1") and verified(folder, "topology")
    assert contents(folder)["ca.pem"] != before["ca.pem"]
    (folder / "h1" / "cert.pem").write_bytes(stolen)
    assert not verified(folder, "h1")


def test_errors_are_one_line(tmp_path: Path) -> None:
    """Of the program as it is called."""
    argv = [sys.executable, "-m", "controller.cli.commands", "tls", "issue", "h1", "--directory", str(tmp_path / "no")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tunbridge: {tmp_path}/no has no authority: `tunbridge tls init` makes one\n"
