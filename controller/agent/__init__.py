"""The decisions for this host: from facts about devices, bridges and the topology to flows, tags and port states."""
