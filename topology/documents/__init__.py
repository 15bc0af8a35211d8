"""Topology documents: what ``tunbridge apply`` reads and ``tunbridge export`` writes, as operations on the topology.

A document says what should exist in the words of the Network API v2.0. Reading one needs no database: its text, its
shape, every single value, and what its elements say of each other are checked there; what depends on the topology that
is there already follows in :mod:`topology.documents.plan`.
"""
