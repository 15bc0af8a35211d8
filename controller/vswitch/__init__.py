"""The Open vSwitch of this host through its OVSDB: rows as values, bridges and ports made as they should be."""
