"""How the topology looks in flows: pure functions from a view of the host to sets of flows.

May import the standard library, netaddr and ``topology.model``. No os-ken, no eventlet, no I/O, no clock.
"""
