"""A small certificate authority: keys and certificates for hosts, servers, API and administrators, and their files."""
