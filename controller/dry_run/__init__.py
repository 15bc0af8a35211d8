"""What a start would change on this host, found out without changing anything."""
