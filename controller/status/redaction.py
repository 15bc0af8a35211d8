"""Secrets taken out of what others are shown: those of the configuration wherever they are, and what looks like one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from oslo_config import cfg

from controller.config.config import Config
from topology.regular_file import open_regular, read_all

REMOVED = "(removed)"

SHORTEST = 4
"""Characters: what is shorter is in too many other words to be found in a text."""

_NAME = r"[\w.-]*(?:password|passwd|passphrase|secret|token|credential|psk|private_key|api_key|community)[\w.-]*"
_IS_SECRET = re.compile(_NAME, re.IGNORECASE)
_HARMLESS = frozenset({"file", "path", "dir", "uri", "url", "cache", "time", "strategy"})
"""Words of options that are called after secrets and are none, as ``token_file`` and ``token_cache_time``."""
_GIVEN = re.compile(
    rf"""\b(?P<name>{_NAME})(?P<is>["']?\s*[=:]\s*)(?!\(removed\))(?:"[^"]*"|'[^']*'|[^\s,;}}\])]+)""", re.IGNORECASE
)
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_HEADER = re.compile(r"((?:x-auth-token|x-subject-token|authorization)[\"']?\s*[:=]\s*).*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a value that is called so is a secret."""
    return bool(_IS_SECRET.fullmatch(name)) and _HARMLESS.isdisjoint(re.split(r"[^a-z]", name.lower()))


class Redaction:
    """Takes secrets out.

    :param secrets: texts that must not be seen
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, texts))) if texts else None

    def text(self, text: str) -> str:
        """A text without them."""
        text = _HEADER.sub(rf"\1{REMOVED}", _USER.sub(rf"\1{REMOVED}@", text))
        text = _GIVEN.sub(_without, text)
        return text if self._known is None else self._known.sub(REMOVED, text)

    def value(self, value: Any, name: str = "") -> Any:
        """A value of JSON without them."""
        if isinstance(value, Mapping):
            return {key: self.value(one, str(key)) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, name) for one in value]
        if name and is_secret(name) and value not in (None, ""):
            return REMOVED
        return self.text(value) if isinstance(value, str) else value


def _without(found: re.Match[str]) -> str:
    return f"{found['name']}{found['is']}{REMOVED}" if is_secret(found["name"]) else found[0]


def secrets_of(config: Config) -> Iterator[str]:
    """The secrets that a configuration has: options of its files, of other programs too, and what token files hold."""
    for path in config.files:
        for values in _options(path).values():
            for name, given in values.items():
                for value in given:
                    yield from re.findall(r"://[^/\s@]*?:([^/\s@]+)@", value)
                    if is_secret(name):
                        yield from (value, value.replace("$$", "$"), value.strip("\"'"), *value.splitlines())
    for file in (config.api.token_file, config.notifications.token_file):
        with contextlib.suppress(OSError):
            if file is not None:
                with open(file, "rb", opener=open_regular) as opened:
                    text = read_all(opened).decode(errors="replace")
                yield from (line.strip() for line in text.splitlines() if ":" not in line)
                yield from re.findall(r"""(?:token|sha256)["']?\s*:\s*["']?([^\s"',}]+)""", text)


def _options(path: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Group → option → its values, whoever's they are."""
    sections: dict[str, dict[str, list[str]]] = {}
    with contextlib.suppress(OSError, ValueError, cfg.Error):
        cfg.ConfigParser(path, sections).parse()
    return sections
