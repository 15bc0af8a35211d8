"""What this host knows: the only mutable thing between events and outputs."""
