"""What is taken out of texts and values, and what is left."""

from __future__ import annotations

import pytest

from controller.status.redaction import REMOVED, Redaction, is_secret

SECRET = "S3cret-1"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"plainly {SECRET}, twice {SECRET}", f"plainly {REMOVED}, twice {REMOVED}"),
        ("password=abc next", f"password={REMOVED} next"),
        ('{"admin_password": "a b", "user": "x"}', f'{{"admin_password": {REMOVED}, "user": "x"}}'),
        ("psk: 'a b'; x", f"psk: {REMOVED}; x"),
        ("X-Auth-Token: gAAAA bc", f"X-Auth-Token: {REMOVED}"),
        ("Authorization: Bearer abc", f"Authorization: {REMOVED}"),
        ("rabbit://u:p@h:5672/ and http://token@h/x", f"rabbit://{REMOVED}@h:5672/ and http://{REMOVED}@h/x"),
        ("[api] token_file = /etc/tokens.yaml", "[api] token_file = /etc/tokens.yaml"),
        ("unix:/run/db.sock, ssl:192.0.2.1:6640", "unix:/run/db.sock, ssl:192.0.2.1:6640"),
        ("priority=3,tun_id=0x2 actions=drop", "priority=3,tun_id=0x2 actions=drop"),
    ],
)
def test_texts(text: str, left: str) -> None:
    assert Redaction([SECRET, "abc", ""]).text(text) == left


def test_the_longest_goes_first() -> None:
    """A secret that begins as another one leaves nothing of itself."""
    assert Redaction(["abcd", "abcdef"]).text("abcdef abcd") == f"{REMOVED} {REMOVED}"


def test_values() -> None:
    value = {"options": {"psk": SECRET, "key": "flow", "token_file": "/x"}, "list": [SECRET, 1, None], "password": None}
    assert Redaction([SECRET]).value(value) == {
        "options": {"psk": REMOVED, "key": "flow", "token_file": "/x"},
        "list": [REMOVED, 1, None],
        "password": None,
    }


@pytest.mark.parametrize(
    "name", ["password", "admin_token", "psk", "metadata_proxy_shared_secret", "memcache_secret_key"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["token_file", "token_cache_time", "in_key", "ssl_key_file", "flows", "user"])
def test_names_of_others(name: str) -> None:
    assert not is_secret(name)
