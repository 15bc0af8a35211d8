"""``auth_strategy = keystone``: callers known by tokens that Keystone has given them, validated by keystonemiddleware.

The middleware is used through what it publishes: it is a WSGI filter, configured by group ``[keystone_authtoken]``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg

from topology.errors import ConfigError
from topology.ovsdb.tls import with_remedy
from topology.rules.access.policy import Caller, caller

LOG = logging.getLogger(__name__)

_GROUP = "keystone_authtoken"
BOUNDS = {"http_connect_timeout": 5, "http_request_max_retries": 1}
"""What is different from keystonemiddleware's defaults, by which a request waits for ever where Keystone is silent."""


class KeystoneUnavailable(Exception):
    """Whose token it is cannot be found out now."""


class KeystoneRefusal(Exception):
    """No token, or none that Keystone knows.

    :param challenge: for ``WWW-Authenticate``
    """

    def __init__(self, challenge: str) -> None:
        super().__init__(challenge)
        self.challenge = challenge


class Keystone:
    """Asks Keystone, and remembers its answers for ``token_cache_time``.

    :param files: of the configuration
    :raises ConfigError: keystonemiddleware is not installed, or cannot be used as it is configured
    """

    def __init__(self, files: Sequence[str]) -> None:
        try:
            from keystonemiddleware import auth_token
        except ImportError as error:
            raise ConfigError(
                f"[api] auth_strategy = keystone needs keystonemiddleware: pip install 'tunbridge[keystone]' ({error})"
            ) from None
        logging.getLogger(auth_token.__name__).addFilter(_name_remedy)
        conf = cfg.ConfigOpts()
        conf(args=[], project="tunbridge", default_config_files=list(files), default_config_dirs=[], use_env=False)
        for group, options in auth_token.list_opts():
            conf.register_opts(options, group=group)
        for name, value in BOUNDS.items():
            conf.set_default(name, value, group=_GROUP)
        try:
            if not conf[_GROUP].auth_type and not conf[_GROUP].auth_section:
                raise ConfigError("auth_type is missing, such as auth_type = password")
            # Whether a request without a right token goes on is decided here, whatever the group says of that.
            self._filter = auth_token.AuthProtocol(
                _application, {"oslo_config_config": conf, "delay_auth_decision": False}
            )
        except Exception as error:  # of keystoneauth1, oslo.config, stevedore: all of them say what is wrong
            raise ConfigError(f"[{_GROUP}]: {error}") from None

    def find(self, environ: Mapping[str, Any]) -> Caller:
        """Who sent a request.

        :param environ: of the request (PEP 3333); it is left as it is
        :raises KeystoneRefusal: nobody whom Keystone knows
        :raises KeystoneUnavailable: Keystone does not answer
        """
        seen = dict(environ)
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
            head[:] = [status, dict(headers)]

        try:
            for _ in self._filter(seen, start_response):
                pass
        except Exception as error:
            LOG.error("Keystone cannot be asked: %s", error)
            raise KeystoneUnavailable from error
        status, headers = head
        if status.startswith("401"):
            raise KeystoneRefusal(headers.get("WWW-Authenticate", "Keystone"))
        if not status.startswith("200"):
            raise KeystoneUnavailable
        return caller(
            seen.get("HTTP_X_USER_NAME") or seen.get("HTTP_X_USER_ID", ""),
            seen.get("HTTP_X_PROJECT_ID", ""),
            [role for role in seen.get("HTTP_X_ROLES", "").split(",") if role],
        )


def _name_remedy(record: logging.LogRecord) -> bool:
    """Have the middleware's line about a certificate of Keystone's that is refused say what is to be done.

    That is decided by urllib3, which from Python 3.13 on verifies more strictly than our own connections.
    """
    said = record.getMessage()
    if "CERTIFICATE_VERIFY_FAILED" in said:
        record.msg, record.args = with_remedy(said), ()
    return True


def _application(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Where the filter leads whomever it lets through."""
    start_response("200 OK", [])
    return [b""]
