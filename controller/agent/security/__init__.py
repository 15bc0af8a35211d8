"""Port security and security groups on this host: which ports are filtered, and which connections end."""
