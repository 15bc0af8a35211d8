"""What is done with each request before it is looked at: it is told apart from others, and so is its caller."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

import falcon

from controller.network_api.http.wsgi_adapter import KNOWN, ROUTE
from controller.network_api.identity.keystone import Keystone, KeystoneRefusal, KeystoneUnavailable
from topology.rules.access.policy import ADMIN, Caller, caller

if TYPE_CHECKING:
    from controller.network_api.identity.tokens import TokenFile

REQUEST_ID = "X-Openstack-Request-Id"

_REQUIRED = "The request you have made requires authentication."
_NOBODY = caller("", "", [])

Identify = Callable[[falcon.Request], Caller]
"""Whom a request is from; raises :class:`falcon.HTTPError` when that cannot be told."""


class RequestMarks:
    """Each answer says of which request it is, as the log does; the server is told its route, for what it counts."""

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Give the request an id; its path may say that JSON is wanted, which older clients of Neutron have it do."""
        response.set_header(REQUEST_ID, f"req-{uuid.uuid4()}")
        if request.path.startswith("/v2.0/") and "/tags/" not in request.path:  # a tag may end so itself
            request.path = request.path.removesuffix(".json")

    def process_resource(
        self, request: falcon.Request, _response: falcon.Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Tell the route."""
        request.env[ROUTE] = request.uri_template or ""


class LocalNames:
    """Serves clients that call this machine ``localhost`` or by an address.

    A page of any site can have its own name lead to 127.0.0.1 (DNS rebinding), and so have a browser on this machine
    talk to a server that trusts who is on this machine.
    """

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Refuse any other name.

        :raises falcon.HTTPForbidden: it has another
        :raises falcon.HTTPBadRequest: it cannot be read
        """
        try:
            host = request.host
        except ValueError:
            raise falcon.HTTPBadRequest(description="The header Host cannot be read") from None
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            if host.lower() != "localhost":
                raise falcon.HTTPForbidden(
                    description=f"{host} is not a name of this machine: use its address, or localhost"
                ) from None


class Identity:
    """Has each request know its caller.

    :param open_paths: of which nobody is asked who they are; on any other path it is asked first, there or not
    :param by_token: they show it with a token in each request
    """

    def __init__(self, identify: Identify, open_paths: Container[str], *, by_token: bool = False) -> None:
        self._by_token = by_token
        self._identify = identify
        self._open_paths = open_paths

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Find out who it is.

        :raises falcon.HTTPUnauthorized: nobody who is known
        :raises falcon.HTTPServiceUnavailable: it cannot be told now
        """
        request.env[KNOWN] = request.path not in self._open_paths
        found = self._identify(request) if request.env[KNOWN] else _NOBODY
        request.context.caller = found
        request.context.by_token = self._by_token
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
        from controller.network_api.identity.tokens import TokenFile  # and YAML, for none but who has such a file

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
