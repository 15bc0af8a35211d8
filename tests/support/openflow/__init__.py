"""OpenFlow peers and connections for tests."""
