"""OVSDB clients of any database: a live copy with transactions, over unix sockets, TCP and TLS."""
