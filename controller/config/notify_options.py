"""Group ``[notifications]``: who is told of the ports of servers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from oslo_config import cfg

from controller.config import option_types as kinds


@dataclass(frozen=True)
class NotificationsConfig:
    """What the group has.

    :param timeout: seconds
    """

    url: str | None
    token_file: str | None
    ca_cert_file: str | None
    timeout: float


def notify_options() -> tuple[cfg.Opt, ...]:
    """Its options."""
    path = kinds.optional(kinds.absolute_path)
    return (
        kinds.option(
            "url", None, kinds.optional(_url), "URL", "Where events of servers' ports are posted; unset: nowhere."
        ),
        kinds.option("token_file", None, path, "path", "Token that is shown there (X-Auth-Token)."),
        kinds.option("ca_cert_file", None, path, "path", "Authorities that certify it (PEM); unset: the system's."),
        kinds.option("timeout", "10", kinds.seconds(0.1, 300), "seconds", "Longest wait for an answer."),
    )


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or "#" in value or not all("!" <= letter <= "~" for letter in value):
        raise ValueError("expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH without a user's name")
    return value
