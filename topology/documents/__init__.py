"""Topology documents: what ``tunbridge apply`` reads.

A document says what should exist in the words of the Network API v2.0. Reading one needs no database: its text, its
shape, every single value, and what its elements say of each other are checked here; what depends on the topology that
is there already is checked by :mod:`topology.planning`.
"""

from topology.documents.reader import MAX_BYTES, load_document, parse_document
from topology.documents.shape import Document, FixedIpSpec, NetworkSpec, PortSpec, SubnetSpec

__all__ = [
    "MAX_BYTES",
    "Document",
    "FixedIpSpec",
    "NetworkSpec",
    "PortSpec",
    "SubnetSpec",
    "load_document",
    "parse_document",
]
