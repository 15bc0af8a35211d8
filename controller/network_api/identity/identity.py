"""Who sent a request: the one place where that is found out, before anything else looks at it."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import falcon

from controller.network_api.identity.keystone import Keystone, KeystoneRefusal, KeystoneUnavailable
from controller.network_api.identity.tokens import TokenFile
from topology.rules.access.policy import ADMIN, Caller, caller

_REQUIRED = "The request you have made requires authentication."
_NOBODY = caller("", "", [])

Identify = Callable[[falcon.Request], Caller]
"""Whom a request is from; raises :class:`falcon.HTTPError` when that cannot be told."""


class Identity:
    """Has each request know its caller.

    :param open_paths: of which nobody is asked who they are; on any other path it is asked first, there or not
    """

    def __init__(self, identify: Identify, open_paths: Container[str]) -> None:
        self._identify = identify
        self._open_paths = open_paths

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Find out who it is.

        :raises falcon.HTTPUnauthorized: nobody who is known
        :raises falcon.HTTPServiceUnavailable: it cannot be told now
        """
        found = _NOBODY if request.path in self._open_paths else self._identify(request)
        request.context.caller = found
        request.env["REMOTE_USER"] = found.user  # RFC 3875 §4.1.11; for the access log


def caller_of(request: falcon.Request) -> Caller:
    """Who sent a request."""
    found: Caller = request.context.caller
    return found


def identify_by(strategy: str, token_file: str | None, files: Sequence[str]) -> Identify:
    """How ``[api] auth_strategy`` tells callers.

    :param files: of the configuration
    :raises ConfigError: what it needs cannot be used
    """
    if strategy == "token":
        assert token_file is not None, "the configuration was checked"
        return _by_token(TokenFile(token_file))
    if strategy == "keystone":
        return _by_keystone(Keystone(files))
    return lambda _: ADMIN


def _by_token(tokens: TokenFile) -> Identify:
    def identify(request: falcon.Request) -> Caller:
        found = tokens.find(request.get_header("X-Auth-Token") or "")
        if found is None:
            raise falcon.HTTPUnauthorized(description=_REQUIRED, challenges=['Token realm="Network API"'])
        return found

    return identify


def _by_keystone(keystone: Keystone) -> Identify:
    def identify(request: falcon.Request) -> Caller:
        try:
            return keystone.find(request.env)
        except KeystoneRefusal as refusal:
            raise falcon.HTTPUnauthorized(description=_REQUIRED, challenges=[refusal.challenge]) from None
        except KeystoneUnavailable:
            raise falcon.HTTPServiceUnavailable(
                description="Keystone cannot be asked who this is: try again", retry_after=1
            ) from None

    return identify
