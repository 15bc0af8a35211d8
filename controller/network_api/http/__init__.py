"""HTTP/1.1 for the Network API."""
