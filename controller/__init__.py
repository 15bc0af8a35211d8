"""Makes it so: OpenFlow sessions, the reconciler, the local OVSDB, configuration, command line.

May import everything.
"""
