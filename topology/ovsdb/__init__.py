"""The topology database as an OVSDB: schema, client replica and embedded server."""
