"""What should exist: the model, the topology database and its documents.

May import the standard library and netaddr; PyYAML only below ``topology.documents``; ovsdbapp and ovs only
below ``topology.ovsdb``, ``topology.database`` and ``topology.server``.
"""
