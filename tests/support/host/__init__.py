"""A host with Open vSwitch and a controller for tests."""
