"""Group ``[notifications]``: who is told of the ports of servers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option
from controller.config.tls_options import FILE


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or "#" in value or not all("!" <= letter <= "~" for letter in value):
        raise ValueError("expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH without a user's name")
    return value


@dataclass(frozen=True)
class NotificationsConfig(OptionGroup):
    """What the group has; times are in seconds."""

    url: str | None = option(
        None,
        kinds.optional(_url),
        "URL",
        "`http://` or `https://` and what follows, where events are posted, such as "
        "`https://nova.example.org/v2.1/os-server-external-events`; unset: nowhere",
    )
    token_file: str | None = option(
        None,
        FILE,
        "path",
        "File of the token that is shown there (`X-Auth-Token`), which nobody but its owner and group may "
        "have access to",
    )
    ca_cert_file: str | None = option(
        None,
        FILE,
        "path",
        "Certificates of the authorities that certify it (PEM); unset: those that the system trusts",
    )
    timeout: float = option(
        "10", kinds.seconds(0.1, 300), "seconds", "Seconds that a request may take, from 0.1 to 300"
    )
