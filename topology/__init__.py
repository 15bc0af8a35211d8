"""What should exist: the model, the topology database and its documents.

May import the standard library, netaddr and pydantic; ovsdbapp and ovs only below ``topology.ovsdb``.
"""
