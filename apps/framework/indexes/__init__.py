"""Which things of a host's view belong together, followed as these change."""
