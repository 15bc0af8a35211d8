"""The token file: what it may say, and how it is said what is wrong, without a token in any message."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path

import pytest

from controller.network_api.identity.tokens import TokenFile
from tests.support.http.tokens import ANN, BOSS, RITA, sha256, write_tokens
from tests.support.logs import records_of
from topology.errors import ConfigError

TOKEN = "secret-of-sixteen-characters"
DIGEST = sha256(TOKEN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "tokens.yaml")


def test_whose_a_token_is(path: Path) -> None:
    """Given as it is or by its digest, in either case of letters; and nothing else is anybody's."""
    tokens = TokenFile(str(path))
    boss, ann, rita = (tokens.find(token) for token in (BOSS, ANN, RITA))
    assert boss is not None and boss.is_admin and (boss.user, boss.project_id) == ("boss", "")
    assert ann is not None and ann.has("member") and ann.has("reader") and not ann.is_admin
    assert (ann.user, ann.project_id) == ("ann", "demo")
    assert rita is not None and rita.roles == {"reader"}
    near = next(one for at in count() if sha256(one := f"near-{at}")[:4] == sha256(ANN)[:4])
    for wrong in (near, "", ANN[:-1], f"{ANN}x", sha256(ANN), ANN.upper(), "é", "\udcff"):
        assert tokens.find(wrong) is None


def test_an_empty_file_lets_nobody_in(path: Path) -> None:
    path.write_text("# all are gone\n")
    assert TokenFile(str(path)).find("") is None


def test_digests_that_yaml_would_take_for_numbers(path: Path) -> None:
    path.write_text(f"- {{token: {'1' * 20}, user: 1, project_id: 007, roles: [member]}}\n")
    found = TokenFile(str(path)).find("1" * 20)
    assert found is not None and (found.user, found.project_id) == ("1", "007")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o777])
def test_a_file_that_everybody_has_access_to_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    message = f"[api] token_file: cannot use {path}: everybody on this machine has access to it (mode {mode:04o})"
    with pytest.raises(ConfigError, match=re.escape(message)):
        TokenFile(str(path))
    path.chmod(0o640)
    assert TokenFile(str(path)).find(ANN)


def test_a_file_that_is_opened_to_everybody_later_is_not_read_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(str(path))
    path.chmod(0o644)
    path.write_text(path.read_text().replace(sha256(ANN), DIGEST))
    assert tokens.find(ANN) and not tokens.find(TOKEN)
    assert len([one for one in records_of(caplog, "controller.network_api.identity") if one.levelname == "ERROR"]) == 1
    path.chmod(0o600)
    assert tokens.find(TOKEN) and not tokens.find(ANN)


FIRST = f"# tokens\n- token: {TOKEN}\n  user: ann\n  project_id: demo\n  roles: [member]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tokens: []\n", "line 1: expected a list of tokens"),
        ("- [\n", "line 2: this is not YAML"),
        (f"- {TOKEN}\n", "line 1: expected an entry with token, sha256, user, project_id, roles"),
        (FIRST.replace(TOKEN, "tooshort"), "line 2: expected a token of 16 to 4096 characters"),
        (FIRST.replace(TOKEN, "two words of sixteen"), "line 2: expected a token of 16 to 4096 characters"),
        (FIRST.replace("token:", "sha256:"), "line 2: expected 64 hexadecimal digits"),
        (FIRST.replace("token:", "password:"), "line 2: this key is none of token,"),
        (FIRST.replace("roles: [", f"roles: [{TOKEN}, "), "line 5: expected one of the roles admin, member, reader"),
        (FIRST.replace("[member]", "[]"), "line 5: expected one of the roles"),
        (FIRST.replace("[member]", "{member: true}"), "line 5: expected one value"),
        (FIRST.replace("  user: ann\n", ""), "line 2: expected user too"),
        (FIRST.replace("  roles: [member]\n", ""), "line 2: expected roles too"),
        (FIRST.replace("  project_id: demo\n", ""), "line 2: expected project_id too, which only an administrator"),
        (FIRST.replace("demo", ""), "line 2: expected project_id too"),
        (FIRST.replace("demo", f"{TOKEN}\\t" * 20), "line 4: expected at most 255 characters"),
        (FIRST.replace("ann", ""), "line 3: expected a name"),
        (FIRST.replace("ann", '"a\\nb"'), "line 3: expected at most 255 characters that can be printed"),
        (f"{FIRST}  user: ben\n", "line 6: this key is there twice"),
        (f"{FIRST}  sha256: {DIGEST}\n", "line 2: expected either token or sha256"),
        (FIRST.replace("token:", "user:").replace("  user: ann\n", ""), "line 2: expected either token or sha256"),
        (FIRST + FIRST.replace(f"token: {TOKEN}", f"sha256: {DIGEST}"), "line 7: the token of line 2 again"),
        ("- \udcff\n", "byte 2 is not UTF-8"),
        ("[" * 100_000, "it is nested too deep"),
        ("- token: " + "{a: " * 3000, "it is nested too deep"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(path: Path, text: str, problem: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as refusal:
        TokenFile(str(path))
    assert str(refusal.value).startswith(f"[api] token_file: cannot use {path}: {problem}")
    assert TOKEN not in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no: No such file or directory$"):
        TokenFile(str(tmp_path / "no"))


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "huge"])
def test_what_is_no_file_is_not_waited_for(path: Path, kind: str) -> None:
    """Also when it takes the place of one that is in use, whose tokens stay."""
    tokens = TokenFile(str(path))
    path.unlink()
    why = "it is no regular file"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
        why = "Is a directory"
    else:
        path.touch(0o600)
        os.truncate(path, 2**40)  # has no blocks
        why = "it is larger than 16 MiB"
    with pytest.raises(ConfigError, match=re.escape(f"cannot use {path}: {why}")):
        TokenFile(str(path))
    assert tokens.find(ANN)
