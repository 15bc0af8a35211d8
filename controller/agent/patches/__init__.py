"""The patches between the bridges of this host: their port numbers, and when they may carry frames."""
