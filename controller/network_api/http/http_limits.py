"""What one HTTP client may have of the server: times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HttpLimits:
    """Limits of one listening address.

    A limit for each read would let a peer that sends a byte a minute have a connection for hours. Times are for a
    request as a whole, and for an answer as a whole.

    :param idle: for a request to begin
    :param request: from its first byte to its last
    :param answer: for the peer to take an answer
    :param rest: for what a peer sends that was told already that it is not read
    :param handshake: of TLS
    :param head: bytes of the request line and all header lines
    :param lines: header lines
    :param body: bytes of a request's body; 1 MiB is some 3,000 ports
    :param connections: served at once; for another one, one that has asked nothing yet is ended, or it waits
    """

    idle: float = 75.0
    request: float = 30.0
    answer: float = 60.0
    rest: float = 2.0
    handshake: float = 10.0
    head: int = 2**16
    lines: int = 100
    body: int = 2**20
    connections: int = 200


API_LIMITS = HttpLimits()
"""Of the API."""
