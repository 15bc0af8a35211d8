"""Rows of security groups and address groups."""
