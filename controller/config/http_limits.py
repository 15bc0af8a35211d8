"""What HTTP clients may have of a server: options of group ``[api]``, and their defaults where there are none.

A limit for each read would let a peer that sends a byte a minute have a connection for hours. Times are for a head, a
request and an answer as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option


def _count(maximum: int) -> Callable[[str], int]:
    return kinds.whole(1, maximum, f"a whole number from 1 to {maximum}")


_TIME = kinds.seconds(0.1, 3600)
_SIZE = kinds.whole(1024, 2**30, "a number of bytes from 1024 to 1073741824")


class ConnectionLimit(str, Enum):
    """The limits, by the names of their options, that end a connection."""

    MAX_CONNECTIONS = "max_connections"
    MAX_CONNECTIONS_PER_ADDRESS = "max_connections_per_address"
    HEAD_TIMEOUT = "head_timeout"
    REQUEST_TIMEOUT = "request_timeout"
    ANSWER_TIMEOUT = "answer_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    MAX_HEAD_SIZE = "max_head_size"
    MAX_HEAD_LINES = "max_head_lines"
    MAX_BODY_SIZE = "max_body_size"


@dataclass(frozen=True)
class HttpLimits(OptionGroup):
    """Limits of one listening address and, from ``max_bulk_size`` on, of what is asked of the Network API."""

    max_connections: int = option(
        "200",
        _count(10_000),
        "Connections served at once, each with a thread while it is answered. For one more, the oldest ends whose "
        "client has not shown who it is, or that is idle; where there is none, it waits",
    )
    max_connections_per_address: int = option(
        "100",
        _count(10_000),
        "Those of one IPv4 address, or of the /64 of an IPv6 address. For one more, one of these ends likewise; where "
        "there is none, it is closed",
    )
    head_timeout: float = option(
        "10", _TIME, "Seconds for a request's head, and from a new connection to the end of its first head"
    )
    request_timeout: float = option("30", _TIME, "Seconds for a request, from its first byte to its last")
    answer_timeout: float = option("60", _TIME, "Seconds for a client to take an answer")
    idle_timeout: float = option("75", _TIME, "Seconds for the next request of a connection to begin")
    handshake_timeout: float = option("10", _TIME, "Seconds for a TLS handshake")
    max_head_size: int = option("65536", _SIZE, "Bytes of a request's line and of all its header lines")
    max_head_lines: int = option("100", _count(10_000), "Header lines of a request")
    max_body_size: int = option("1048576", _SIZE, "Bytes of a request's body; some 3,000 ports go into the default")
    max_bulk_size: int = option("1000", _count(100_000), "Objects that one request creates")
    bulk_part_size: int = option(
        "50",
        _count(100_000),
        "Of these, how many are created in one transaction. Changes of others come between two, so they wait the "
        "longer the greater it is",
    )
    max_waiting_changes: int = option(
        "100", _count(10_000), "Changes of one project that wait for their turn; one more is answered 503"
    )
    turn_timeout: float = option("30", _TIME, "Seconds that a change waits for its turn; then it is answered 503")
    topology_timeout: float = option(
        "10",
        _TIME,
        "Seconds for the topology database to take a change; then it is answered 503, or 504 where it may have been "
        "made",
    )
    max_query_fields: int = option("200", _count(10_000), "Names with their values in a request's query")
    max_page_size: int | None = option(
        None,
        kinds.optional(_count(1_000_000)),
        "Objects of one answer: longer lists come in pages, as with a `limit` in the query, and a higher `limit` is "
        "lowered to it. Unset: all that there are",
        form="number",
    )
    max_event_streams: int = option(
        "50", _count(10_000), "Clients that are told [events](api.md#what-happens); one more is answered 503"
    )
