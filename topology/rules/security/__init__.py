"""Security groups and address groups as the Network API v2.0 has them: what rules say, and what they mean. Pure."""
