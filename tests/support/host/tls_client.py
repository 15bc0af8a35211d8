"""A TLS client that does what a test wants, right or wrong; Python's own TLS, so that ours is held against another."""

from __future__ import annotations

import socket
import ssl
import warnings

from tests.support.certificates import Identity

TIMEOUT = 60.0  # seconds


def client_context(identity: Identity | None) -> ssl.SSLContext:
    """Of a client that trusts everybody.

    :param identity: what it shows; None: no certificate
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def old_context(identity: Identity) -> ssl.SSLContext:
    """Of a client that speaks nothing newer than TLS 1.1, in a build of OpenSSL that still can."""
    context = client_context(identity)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():  # TLS 1.1 is, and that is the point
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def talk(port: int, context: ssl.SSLContext) -> tuple[str, str]:
    """Connect to a TLS port of 127.0.0.1 and wait for the first word.

    :returns: the name of the client's end, and what went wrong; empty: the server spoke
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as sock:
        host, own_port = sock.getsockname()
        try:
            with context.wrap_socket(sock) as tls:
                failure = "" if tls.recv(1) else "the server ended the connection"
        except OSError as error:
            failure = str(error) or repr(error)
        return f"{host}:{own_port}", failure
