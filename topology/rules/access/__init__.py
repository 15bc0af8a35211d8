"""Who may see and change what of the topology, and how much of it."""
