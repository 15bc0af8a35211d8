"""The attributes of each resource, and what their values may be."""
