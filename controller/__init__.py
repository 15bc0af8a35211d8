"""Makes it so: decides for a host, and keeps flows, rows and port states as they should be.

May import everything.
"""
